// What each algorithms/<collective>/manifest.cpp defines: its rows. src/library joins them.
#pragma once

#include <span>

#include "tenon/plugin/algorithm.hpp"

namespace tenon {

std::span<const Algorithm> all_reduce_algorithms();
std::span<const Algorithm> all_gather_algorithms();
std::span<const Algorithm> reduce_scatter_algorithms();
std::span<const Algorithm> all_to_all_algorithms();
std::span<const Algorithm> broadcast_algorithms();
std::span<const Algorithm> reduce_algorithms();
std::span<const Algorithm> gather_algorithms();
std::span<const Algorithm> scatter_algorithms();
std::span<const Algorithm> barrier_algorithms();

}  // namespace tenon
