// What one call of a collective moves on one rank: counts, where input and output lie when it is in place, and from
// whose input each part of the output comes.
//
// Sizes are those of nccl-tests: the buffer for all_reduce, broadcast, reduce and sendrecv, otherwise the large buffer.
// A size is raised where a rank would get less than one element, and lowered to a whole number of elements for each.
// The blocks of the v-collectives differ as in the comparison with the peers: 1/2, 2, 1 and 1/2 of the mean in turn.
//
// Immutable values; lengths and positions are in elements.
#pragma once

#include <cstdint>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon::perf {

// output[output_first, + count) = input[input_first, + count) of `from`, or the reduction of all ranks' there.
struct Part {
    std::uint64_t output_first = 0, count = 0;
    Rank from = everyone;
    std::uint64_t input_first = 0;
};

struct Shape {
    Collective collective{};
    DataType type{};
    Rank rank = 0, rank_count = 1, root = 0;
    std::uint64_t bytes = 0;                            // the size that is reported
    std::uint64_t count = 0;                            // the call's own argument
    std::uint64_t input_length = 0, output_length = 0;  // 0: not used on this rank
    bool can_be_in_place = true;
    std::uint64_t input_first_in_place = 0, output_first_in_place = 0;  // within one buffer
    // One for each rank; only for v-collectives.
    std::vector<std::size_t> send_counts{}, send_firsts{}, receive_counts{}, receive_firsts{};
    std::vector<Part> output{};

    std::uint64_t length_in_place() const;
    Rank next() const { return (rank + 1) % rank_count; }
    Rank previous() const { return (rank + rank_count - 1) % rank_count; }
};

// The reported size of a call that was asked to move `bytes`.
std::uint64_t usable_bytes(Collective collective, DataType type, Rank rank_count, std::uint64_t bytes);
Shape make_shape(Collective collective, DataType type, Rank rank, Rank rank_count, Rank root, std::uint64_t bytes);

// Bus bandwidth is so many times algorithm bandwidth (nccl-tests, doc/PERFORMANCE.md).
double bus_factor(Collective collective, Rank rank_count);

}  // namespace tenon::perf
