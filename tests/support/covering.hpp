// Pairwise-covering arrays: few rows in which every two values of different dimensions meet at least once.
//
// A row gives each dimension a value, numbered from 0. `allowed` is asked about partly filled rows, in which `unset`
// marks what is still open, and must not refuse a row that some completion makes allowed. Pairs that no allowed row
// holds are left out. Deterministic: the same dimensions give the same rows.
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace tenon::support {

using CoveringRow = std::vector<int>;
inline constexpr int unset = -1;

std::vector<CoveringRow> cover_pairs(std::span<const int> dimension_sizes,
                                     const std::function<bool(const CoveringRow&)>& allowed);

}  // namespace tenon::support
