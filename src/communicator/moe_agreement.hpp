// What the ranks of a MoE group must agree on, as numbers that they tell each other.
#pragma once

#include <array>
#include <span>

#include "exchange/moe_shape.hpp"

namespace tenon {

using AgreedValues = std::array<std::uint64_t, 17>;
AgreedValues agreed_values(const MoeShape& shape);
// Of `everybody`'s, the first that differs from rank 0's, in words.
Result<void> compare_agreed(const MoeShape& shape, std::span<const std::uint64_t> everybody, Rank rank,
                            Rank rank_count);

std::uint64_t hash_of_mask(const MoeShape& shape);

}  // namespace tenon
