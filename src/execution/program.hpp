// A Program: a Plan (or a data-dependent exchange) bound to the ends of connections and to byte offsets; what the
// executor runs. Immutable once made, reused for every call of the same shape, valid as long as the transport it was
// bound to.
#pragma once

#include <cstdint>
#include <vector>

#include "reduction/kernels.hpp"
#include "tenon/plugin/plan.hpp"
#include "tenon/plugin/transport.hpp"

namespace tenon {

struct Place {
    BufferId buffer = BufferId::input;
    std::uint64_t offset = 0;  // bytes
};

struct Operation {
    StepKind kind = StepKind::nothing;
    bool token = false;             // a message without bytes that is sent all the same (barriers)
    bool completes = false;
    bool source_stable = false;
    bool destination_free = false;
    bool answered = false;
    bool sends_to_all = false;
    bool after_whole_lane = false;  // its dependencies are on all tiles of their lanes, not on the same tile
    bool exchanges = false;         // an exchanged send, and the receive_reduce behind it: see halving.cpp
    bool offers = false;            // destination_free, and the only receiver on its ring: message numbers are known
    Rank send_to = no_rank;
    Rank receive_from = no_rank;
    std::uint32_t salt = 0;         // of the signature: what only this pair must agree on (exchanges)
    SendEnd* out = nullptr;
    ReceiveEnd* in = nullptr;
    Connection* out_connection = nullptr;  // null also for messages to everyone that cannot be exposed to all alike
    Connection* in_connection = nullptr;
    std::uint64_t bytes = 0;
    Place source{};
    Place destination{};
    std::uint32_t first_operand = 0, operand_count = 0;
    std::uint32_t first_dependency = 0, dependency_count = 0;
};

struct LaneProgram {
    std::uint32_t first = 0, count = 0;  // operations
    std::uint64_t tiles = 1;
};

struct Program {
    Rank rank = no_rank;
    std::vector<Operation> operations;
    std::vector<LaneProgram> lanes;
    std::vector<Place> operands;
    std::vector<StepRef> dependencies;
    std::uint64_t tile_bytes = 0;
    std::uint64_t scratch_bytes = 0;
    std::uint64_t moved_bytes = 0;     // the larger of what this rank reads and writes: decides direct and streaming
    bool small = false;                // see small_run.hpp
    bool packed = false;               // and no message is longer than packed_bytes
    bool has_offers = false;
    bool only_sends = false;           // this rank receives nothing
    std::uint32_t signature = 0;       // of the agreed part of the call
    ReduceKernel kernel = nullptr;
    std::uint32_t element_bytes = 1;
    double divisor = 1;                // of completing steps
    Collective collective = Collective::barrier;
    DataType type = DataType::int8;
    ReduceOp op = ReduceOp::sum;
    Rank root = 0;
    std::uint64_t count = 0;
    const char* algorithm = "";
};

// Resolves the plan's peers to ends and its chunks to bytes for a block of request.count elements.
Result<Program> bind(const Plan& plan, const Request& request, Transport& transport);

// Fills in what follows from the operations: small, packed, who offers.
void describe(Program& program);

// Programs that move at most this much may be small; larger ones have more than one way to be run (PathTrial).
inline constexpr std::uint64_t small_bytes = 32 << 10;

// A hash of what must agree between the ranks of a call.
std::uint32_t signature_of(const Request& request, std::string_view algorithm);

}  // namespace tenon
