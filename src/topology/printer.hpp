// Maps for people: as text, as a picture, and how two of them differ.
#pragma once

#include <string>

#include "tenon/plugin/topology.hpp"
#include "topology/map.hpp"

namespace tenon {

// "25 GB/s", "1.5 us"; "?" where it is not known.
std::string rate_words(std::uint64_t bytes_per_s);
std::string latency_words(std::uint64_t latency_ns);

// How many places and links of each kind there are, how pairs of ranks are reached where the map says so, and the
// places as a tree, in which like siblings are one line.
std::string text_of(const Map& map);
// Its levels, as algorithms see them.
std::string text_of(const Topology& topology);

// Nested boxes joined by lines, with a legend; like siblings are drawn once where there are many.
std::string svg_of(const Map& map);

// One line for each place and link that only one has (- the first, + the second) or that is not the same (~), by path;
// empty where they are equal.
std::string difference_of(const Map& one, const Map& other);

}  // namespace tenon
