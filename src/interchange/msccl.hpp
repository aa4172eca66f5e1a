// Reads an MSCCL algorithm (the XML of msccl-tools, NCCL's and RCCL's MSCCL executors) as one Plan per rank.
//
// What comes out is verified: every output chunk holds exactly the right contributions, nothing deadlocks, no two
// unordered accesses meet. What cannot be right is refused with an Error that names file, line, gpu, tb and step.
//
// A plan made from a file that works in place is right out of place too: a chunk that the file has not written yet is
// read from the input, one that it has written lies in the output. A file for out of place only makes plans that may
// be wrong in place; MscclAlgorithm::in_place says which.
//
// Pure functions, callable from any thread; nothing is kept between calls. No bytes crash the reader; msccl_program.hpp
// has the limits on what a file may ask for. The format: README.md in this folder.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tenon/plugin/plan.hpp"

namespace tenon {

// When the file says that it may be chosen. Bytes are those of the larger buffer (all ranks' blocks together).
struct MscclFacts {
    std::string name;
    std::string protocol;  // Simple, LL or LL128
    Collective collective = Collective::barrier;
    bool in_place = false;  // as the file says, or its absence means
    bool out_of_place = false;
    ByteCount min_bytes{};
    ByteCount max_bytes{UINT64_MAX};
    std::uint32_t channels = 0;
};

struct MscclAlgorithm {
    MscclFacts facts;
    std::vector<Plan> plans;  // by rank
    bool in_place = false;    // the plans were verified in place too
};

// `name_for_messages` starts every error's message; the file's path, as a rule.
Result<MscclAlgorithm> read_msccl(std::string_view xml, std::string_view name_for_messages);

}  // namespace tenon
