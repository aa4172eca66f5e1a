// What the rows of a measured MoE exchange hold: multiples of a quarter up to 64, which are exact in bfloat16, float16
// and float32, as are their sums. Experts return what they were given, so that a combine gives each token times the sum
// of its weights.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "tenon/plugin/types.hpp"

namespace tenon::perf {

inline float token_value(std::uint64_t rank, std::uint64_t token, std::uint64_t element, std::uint64_t turn) {
    return static_cast<float>((rank * 5 + token * 3 + element + turn * 2) % 7);
}

inline float weight_of(std::uint64_t token, std::uint64_t slot) {
    return 0.25F * static_cast<float>(1 + (token + slot) % 4);
}

inline std::uint32_t bits_of(DataType type, float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (type == DataType::float32) return bits;
    if (type == DataType::bfloat16) return bits >> 16;
    if (value == 0) return 0;
    return (bits >> 16 & 0x8000) | (((bits >> 23 & 255) - 112) << 10) | (bits >> 13 & 0x3ff);
}

// Rows of elements of one type; value(row, element).
struct RowsOfValues {
    DataType type;
    std::uint64_t rows, elements;

    template <class Value>
    void fill(std::byte* at, const Value& value) const {
        for_each([&](std::uint64_t r, std::uint64_t e, std::uint64_t size) {
            const std::uint32_t bits = bits_of(type, value(r, e));
            std::memcpy(at, &bits, size);
            at += size;
        });
    }
    template <class Value>
    std::uint64_t count_wrong(const std::byte* at, const Value& value) const {
        std::uint64_t wrong = 0;
        for_each([&](std::uint64_t r, std::uint64_t e, std::uint64_t size) {
            const std::uint32_t bits = bits_of(type, value(r, e));
            wrong += std::memcmp(at, &bits, size) != 0 ? 1 : 0;
            at += size;
        });
        return wrong;
    }

private:
    template <class Use>
    void for_each(const Use& use) const {
        const std::uint64_t size = element_bytes(type);
        for (std::uint64_t r = 0; r < rows; r++)
            for (std::uint64_t e = 0; e < elements; e++) use(r, e, size);
    }
};

}  // namespace tenon::perf
