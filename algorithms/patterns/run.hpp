// A run of neighbouring ranks (or of their blocks), and its two parts where it wraps around the end of the ranks.
//
// Both sides of a message name the same ranks, so they cut it at the same place.
#pragma once

#include <algorithm>
#include <array>

#include "tenon/plugin/types.hpp"

namespace tenon {

struct Run {
    Rank first = 0;
    Rank count = 0;
};

// The ranks first, first + 1, ... (modulo rank_count), as a run up to the last rank and a run from rank 0 on; the
// second is empty where nothing wraps. 0 <= first < rank_count and 0 <= count <= rank_count.
inline std::array<Run, 2> wrapped(Run run, Rank rank_count) {
    const Rank before_the_end = std::min(run.count, rank_count - run.first);
    return {Run{run.first, before_the_end}, Run{0, run.count - before_the_end}};
}

}  // namespace tenon
