// The contents of buffers: a sequence of elements that repeats after a prime number of them, so that inputs of a
// million elements, and what a reduction makes of them, cost no more than those of a few thousand. Values; thread-safe
// where const.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon::support {

// Which values the elements have.
enum class Values {
    // Sums and products of any 8 ranks are exact in the type, so that every order of adding gives the same bits.
    exact,
    // Ordinary numbers, whose sums must be rounded.
    ordinary,
    // Also NaNs, infinities, denormals, both zeros, and random bits.
    special,
};

inline constexpr std::size_t pattern_period = 4099;

class Pattern {
public:
    Pattern() = default;
    // `elements` are the bits of each, at most pattern_period of them.
    Pattern(DataType type, const std::vector<std::uint64_t>& elements);
    // For a buffer of `length` elements that `op` will reduce (or not: then the values are any).
    static Pattern random(DataType type, std::size_t length, Values values, const ReduceOp* op,
                          std::mt19937_64& random);

    std::size_t period() const { return elements_.size(); }
    std::uint64_t operator[](std::size_t position) const { return elements_[position % elements_.size()]; }
    // Writes the elements [first, first + count) of the sequence.
    void write(std::byte* to, std::size_t first, std::size_t count) const;

private:
    std::size_t element_bytes_ = 1;
    std::vector<std::uint64_t> elements_;
    std::vector<std::byte> bytes_;  // the same, packed
};

// The bits of an element in memory, and back.
std::uint64_t load_element(const std::byte* from, std::size_t element_bytes);
void store_element(std::byte* to, std::size_t element_bytes, std::uint64_t bits);

// As std::ranges::equal, which goes byte by byte: under a sanitizer that took longer than the calls that were checked.
bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b);

}  // namespace tenon::support
