// The values that ranks put into a collective, and those that must come out: tenon-perf's own reference.
//
// Copied data is a pattern of bytes that differs by rank, position and turn. Contributions to a reduction are small
// integers, few enough of them large that every partial sum and product, in any order, is a number of the type: so
// results are compared bit for bit. The one exception is the average of floats, whose division may be rounded twice (to
// float32 and then to the type): one unit in the last place is allowed there.
//
// Immutable; any thread. The same on every rank, so that each computes what the others contribute.
#pragma once

#include <cstdint>
#include <vector>

#include "perf/options.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon::perf {

class Values {
public:
    // `turn` makes other values of the same kind.
    Values(DataType type, Operation operation, Rank rank_count, std::uint64_t turn);

    // Writes the input elements [first, first + count) of `rank`.
    void copied(void* to, Rank rank, std::uint64_t first, std::uint64_t count) const;
    void contribution(void* to, Rank rank, std::uint64_t first, std::uint64_t count) const;
    // Writes what the reduction of all ranks' elements [first, first + count) is.
    void reduction(void* to, std::uint64_t first, std::uint64_t count) const;

    // Elements of `found` that are not what they must be.
    std::uint64_t wrong_copied(const void* found, Rank rank, std::uint64_t first, std::uint64_t count) const;
    std::uint64_t wrong_contribution(const void* found, Rank rank, std::uint64_t first, std::uint64_t count) const;
    std::uint64_t wrong_reduction(const void* found, std::uint64_t first, std::uint64_t count) const;

    // The factor of a rank's contribution in a pre-multiplied sum, as the bytes of one element.
    static std::uint64_t factor_bits(DataType type, Rank rank);

private:
    std::int64_t contribution_at(Rank rank, std::uint64_t index) const;
    std::int64_t reduction_at(std::uint64_t index) const;
    std::uint64_t hash(std::uint64_t salt, std::uint64_t index) const;
    template <class Make>
    std::uint64_t count_wrong(const void* found, std::uint64_t first, std::uint64_t count, std::uint64_t tolerance,
                              const Make& make) const;

    DataType type_;
    Operation operation_;
    Rank rank_count_;
    std::uint64_t turn_;
    std::int64_t largest_ = 0;       // magnitude of a contribution; 0: ones, from at most exact_ ranks
    std::int64_t exact_ = 0;         // integers up to it are numbers of the type
    std::int64_t table_origin_ = 0;  // the encodings of all results lie in a table
    std::vector<std::uint64_t> table_;
};

// The bits of the number of `type` that is nearest to `value` (ties to even), which must be in its range.
std::uint64_t encode(DataType type, double value);

}  // namespace tenon::perf
