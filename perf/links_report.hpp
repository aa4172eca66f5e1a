// `tenon-perf links`: measures the links between all pairs of ranks and shows them; rank 0 alone writes.
#pragma once

#include "perf/options.hpp"
#include "perf/team.hpp"

namespace tenon::perf {

// All ranks call. Throws std::runtime_error where the picture cannot be written.
void show_links(const Options& options, Team& team, std::span<const RankFacts> ranks);

}  // namespace tenon::perf
