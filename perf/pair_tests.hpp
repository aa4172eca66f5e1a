// What lies below the collectives, between rank 0 and the last rank: how long a message takes there and back
// (ping_pong), how many go one way behind each other (stream), and what it costs to register memory and to end that
// (registration), which moves none of its bytes, and registers it with devices only where a network has such (rdma).
// All ranks call; the others wait. Times as in timing.hpp: medians over batches, and percentiles of single calls from
// a pass of their own.
#pragma once

#include "perf/options.hpp"
#include "perf/team.hpp"
#include "perf/timing.hpp"

namespace tenon::perf {

std::string_view name_of(PairTest test);

// A time is of one message, one way (ping_pong), of one message (stream), or of one registration and its end.
// `wrong` counts bytes that did not arrive as they were sent.
Figures measure(PairTest test, std::uint64_t bytes, const Options& options, Communicator& comm, Team& team);

}  // namespace tenon::perf
