// Recursive halving and doubling, and the fold that lets both work for any number of ranks.
//
// The fold: the *core* is the largest power of two of ranks, 0 .. core - 1. Each *extra* rank, core + i, gives its data
// to rank i before the first round and gets its result from it after the last.
//
// Halving: in each round a rank and its partner share a run of the core; each keeps the half it lies in and sends the
// other. The last run kept is the rank itself. Doubling is halving backwards: send what was kept, receive what was
// sent.
#pragma once

#include <bit>
#include <vector>

#include "algorithms/patterns/run.hpp"

namespace tenon {

struct Fold {
    Rank core;
    bool is_extra;   // this rank waits outside while the core works
    bool has_extra;  // this rank works for another one, too
    Rank partner;    // the other side of the fold; no_rank where this rank has none

    Fold(Rank rank, Rank rank_count)
        : core(static_cast<Rank>(std::bit_floor(static_cast<std::uint32_t>(rank_count)))),
          is_extra(rank >= core),
          has_extra(!is_extra && rank + core < rank_count),
          partner(is_extra    ? rank - core
                  : has_extra ? rank + core
                              : no_rank) {}
};

struct HalvingRound {
    Rank partner;
    Run sent;
    Run kept;
};

// For a rank of a core of a power of two of ranks; the first round is with the farthest partner.
inline std::vector<HalvingRound> halving_rounds(Rank rank, Rank core) {
    std::vector<HalvingRound> rounds;
    for (Rank half = core / 2; half > 0; half /= 2) {
        const Rank partner = rank ^ half;
        rounds.push_back({partner, {partner / half * half, half}, {rank / half * half, half}});
    }
    return rounds;
}

// Partners of recursive doubling in their order: the nearest first.
inline std::vector<Rank> doubling_partners(Rank rank, Rank core) {
    std::vector<Rank> partners;
    for (Rank distance = 1; distance < core; distance *= 2) partners.push_back(rank ^ distance);
    return partners;
}

}  // namespace tenon
