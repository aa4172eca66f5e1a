// The processor's floating-point mode, which is the calling thread's and may have been changed by it.
//
// -ffast-math at link time, torch.set_flush_denormal and the like make the processor flush denormals; then a
// reduction's bits would depend on who calls it. Kernels check the mode, which costs about a nanosecond, and in the
// rare other mode run once more inside a StandardFloatingPoint. Standard: denormals kept, rounding to nearest even,
// exceptions masked.
#pragma once

#include <cstdint>

#include "reduction/kernels.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tenon {

inline std::uint64_t floating_point_control() {
#if defined(__x86_64__)
    return _mm_getcsr();
#elif defined(__aarch64__)
    std::uint64_t control = 0;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control;
#else
    return 0;
#endif
}

#if defined(__x86_64__)
// Flush to zero, rounding, exception masks, denormals are zero; the masks' standard value is all ones.
inline constexpr std::uint64_t floating_point_mode_bits = 0xffc0;
inline constexpr std::uint64_t standard_floating_point_mode = 0x1f80;
#else
// AHP, DN, FZ, rounding, FZ16, exception traps, FIZ, AH, NEP; all are zero by default.
inline constexpr std::uint64_t floating_point_mode_bits = 0x07c89f07;
inline constexpr std::uint64_t standard_floating_point_mode = 0;
#endif

inline bool floating_point_is_standard() {
    return (floating_point_control() & floating_point_mode_bits) == standard_floating_point_mode;
}

// While it lives, the thread computes in the standard mode.
class StandardFloatingPoint {
public:
    StandardFloatingPoint();
    ~StandardFloatingPoint();
    StandardFloatingPoint(const StandardFloatingPoint&) = delete;
    StandardFloatingPoint& operator=(const StandardFloatingPoint&) = delete;

private:
    std::uint64_t saved_;
};

// A function of its own, because the compiler may move arithmetic across a change of mode but not across this call.
void reduce_in_standard_mode(ReduceKernel kernel, const ReduceArguments& arguments);

}  // namespace tenon
