// Exchanges whose lengths are known only at run time: the v-collectives, and sends and receives. Builds a Program that
// the executor runs like any other; no plan, since every pair has its own length.
//
// Two lanes: one sends to rank + 1, rank + 2, ... one tile at a time, the other receives from rank - 1, rank - 2, ...;
// tile for tile both ends of a pair agree on the order, so one slot per pair is enough to go on. What a pair must agree
// on (its own bytes) salts the signatures of its messages.
#pragma once

#include <span>

#include "execution/program.hpp"

namespace tenon {

// Elements, one entry per rank; offsets are in elements too.
struct ExchangeShape {
    Collective collective = Collective::all_to_all_v;
    DataType type = DataType::int8;
    ReduceOp op = ReduceOp::sum;
    Rank rank = 0, rank_count = 1;
    const std::size_t* send_counts = nullptr;
    const std::size_t* send_offsets = nullptr;
    const std::size_t* receive_counts = nullptr;
    const std::size_t* receive_offsets = nullptr;
};

// all_to_all_v, all_gather_v (receive arrays; this rank's block is the input), reduce_scatter_v (receive counts).
Result<Program> exchange_program(const ExchangeShape& shape, Transport& transport);

// A send or receive of a group, or one that stands alone. The address counts from `input`, of the program's buffers: 0
// for a group, whose places are addresses; one alone has its buffer there.
struct PointToPoint {
    bool is_send = false;
    Rank peer = 0;
    std::uint64_t bytes = 0;
    std::uint64_t address = 0;  // of the buffer
    DataType type = DataType::int8;
    friend bool operator==(const PointToPoint&, const PointToPoint&) = default;
};

// All of a group's sends and receives at once: a lane for each peer and direction, in the order of the calls. Sends to
// this rank itself are copied to its receives, pairwise in order; the caller has checked that they match.
Result<Program> point_to_point_program(std::span<const PointToPoint> calls, Rank rank, Transport& transport);

}  // namespace tenon
