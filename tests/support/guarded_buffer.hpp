// A buffer of a test: elements between guards, in ordinary memory or in memory from tenonMemAlloc, at an address that
// is not aligned beyond one element. Owns its memory; one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "tenon/tenon.h"

namespace tenon::support {

enum class Memory { ordinary, tenon };

class GuardedBuffer {
public:
    GuardedBuffer(std::size_t bytes, std::size_t element_bytes, Memory memory)
        : bytes_(bytes), offset_(guard_bytes + element_bytes) {
        const std::size_t whole = offset_ + bytes + guard_bytes;
        if (memory == Memory::ordinary) {
            ordinary_.resize(whole);
            base_ = ordinary_.data();
        } else {
            void* given = nullptr;
            if (tenonMemAlloc(&given, whole) != tenonSuccess) throw std::runtime_error(tenonGetLastError(nullptr));
            base_ = static_cast<std::byte*>(given);
        }
        std::fill_n(base_, whole, poison);
    }
    ~GuardedBuffer() {
        if (ordinary_.empty()) tenonMemFree(base_);
    }
    GuardedBuffer(const GuardedBuffer&) = delete;
    GuardedBuffer& operator=(const GuardedBuffer&) = delete;

    std::byte* data() const { return base_ + offset_; }
    std::span<std::byte> bytes() const { return {data(), bytes_}; }

    // Where something wrote outside the buffer.
    std::optional<std::string> damage() const {
        const auto written = [](std::byte b) { return b != poison; };
        if (std::any_of(base_, base_ + offset_, written)) return "bytes before the buffer were written";
        if (std::any_of(data() + bytes_, data() + bytes_ + guard_bytes, written))
            return "bytes behind the buffer were written";
        return std::nullopt;
    }

private:
    static constexpr std::size_t guard_bytes = 256;
    static constexpr std::byte poison{0xa5};
    std::size_t bytes_, offset_;
    std::vector<std::byte> ordinary_;
    std::byte* base_ = nullptr;
};

}  // namespace tenon::support
