// What TENON_ALGORITHM says: which algorithm a user wants for a collective, perhaps only for some sizes.
//
//   all_reduce=ring                              for every size
//   all_reduce:0-4k=one_shot,all_reduce=ring     one_shot up to 4 KiB, ring above: the first that fits decides
//   all_to_all:64k-=pairwise                     from 64 KiB on
//
// Sizes are those of the buffer as nccl-tests counts them, in bytes, k, m or g (powers of 1024), ends included. Whether
// an algorithm of that name exists is for the registry to say.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon {

struct AlgorithmChoice {
    Collective collective{};
    ByteCount min_bytes{0};
    ByteCount max_bytes{std::numeric_limits<std::uint64_t>::max()};
    std::string name;
    friend bool operator==(const AlgorithmChoice&, const AlgorithmChoice&) = default;
};

// The error names the piece that is wrong, and why.
Result<std::vector<AlgorithmChoice>> parse_algorithm_choices(std::string_view text);
std::string show(std::span<const AlgorithmChoice> choices);
// Nothing when the user left it to Tenon.
const AlgorithmChoice* find_choice(std::span<const AlgorithmChoice> choices, Collective collective, ByteCount bytes);

}  // namespace tenon
