// copy_vectors, copy_streaming, and the name of the instruction set in use.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "reduction/copy.cpp"
#include <cstring>

#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "reduction/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Vectors at multiples of their own size in the destination; its ends are written by ones that overlap.
void copy_vectors_here(std::uint8_t* destination, const std::uint8_t* source, std::size_t bytes) {
    const hn::ScalableTag<std::uint8_t> d;
    const std::size_t lanes = hn::Lanes(d);
    if (lanes < 16 || bytes < 6 * lanes) {
        std::memcpy(destination, source, bytes);
        return;
    }
    const auto last = hn::LoadU(d, source + bytes - lanes);
    hn::StoreU(hn::LoadU(d, source), d, destination);
    std::size_t i = lanes - reinterpret_cast<std::uintptr_t>(destination) % lanes;
    for (; bytes - i >= 4 * lanes; i += 4 * lanes) {
        const auto a = hn::LoadU(d, source + i), b = hn::LoadU(d, source + i + lanes);
        const auto e = hn::LoadU(d, source + i + 2 * lanes), f = hn::LoadU(d, source + i + 3 * lanes);
        hn::Store(a, d, destination + i);
        hn::Store(b, d, destination + i + lanes);
        hn::Store(e, d, destination + i + 2 * lanes);
        hn::Store(f, d, destination + i + 3 * lanes);
    }
    for (; bytes - i > lanes; i += lanes) hn::Store(hn::LoadU(d, source + i), d, destination + i);
    hn::StoreU(last, d, destination + bytes - lanes);
}

void copy_streaming_here(std::uint8_t* destination, const std::uint8_t* source, std::size_t bytes) {
    constexpr std::size_t line_bytes = 64;
    const hn::ScalableTag<std::uint8_t> d;
    const std::size_t lanes = hn::Lanes(d);
    // Below some lines the fence costs more than the cache pollution it saves; vectors under 16 bytes do not stream.
    if (bytes < 8 * line_bytes || lanes < 16) {
        std::memcpy(destination, source, bytes);
        return;
    }
    const std::size_t head = (line_bytes - reinterpret_cast<std::uintptr_t>(destination) % line_bytes) % line_bytes;
    std::memcpy(destination, source, head);
    std::size_t i = head;
    for (; bytes - i >= lanes; i += lanes) {
        hn::Stream(hn::LoadU(d, source + i), d, destination + i);
    }
    hwy::FlushStream();
    std::memcpy(destination + i, source + i, bytes - i);
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tenon {

HWY_EXPORT(copy_vectors_here);
HWY_EXPORT(copy_streaming_here);
HWY_EXPORT(target_name);

void copy_vectors(void* destination, const void* source, std::size_t bytes) {
    HWY_DYNAMIC_DISPATCH(copy_vectors_here)
    (static_cast<std::uint8_t*>(destination), static_cast<const std::uint8_t*>(source), bytes);
}

void copy_streaming(void* destination, const void* source, std::size_t bytes) {
    HWY_DYNAMIC_DISPATCH(copy_streaming_here)
    (static_cast<std::uint8_t*>(destination), static_cast<const std::uint8_t*>(source), bytes);
}

const char* reduction_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace tenon
#endif
