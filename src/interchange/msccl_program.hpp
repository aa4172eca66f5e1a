// An MSCCL file as parsed: programs of thread blocks, in the file's own terms, checked for form and bounds only.
//
// Invariants after parse_msccl: gpus, thread blocks and steps are numbered densely and stored in that order; peers,
// channels, waits and the chunks that a step touches exist; every message has one sender and one receiver of the same
// number of chunks. Whether the data that flows is right is the business of msccl_dataflow.
#pragma once

#include <optional>

#include "interchange/msccl.hpp"

namespace tenon::msccl {

// Real files stay far below these; they bound the time and memory that a hostile one can take.
inline constexpr std::size_t max_file_bytes = std::size_t{64} << 20;
inline constexpr std::uint32_t max_gpus = 1024;
inline constexpr std::uint32_t max_thread_blocks = 1024;  // of one gpu
inline constexpr std::uint32_t max_steps = 4096;          // of one thread block
inline constexpr std::uint32_t max_chunks = 1 << 16;      // of one buffer
inline constexpr std::uint64_t max_cells = 1 << 21;       // chunks of all buffers of all gpus
inline constexpr std::uint64_t max_moves = 1 << 21;       // chunks that all steps touch, together

struct Place {
    BufferId buffer = BufferId::input;
    std::int32_t offset = 0;
};

using StepIndex = std::uint32_t;  // in Program::steps
inline constexpr StepIndex no_step = UINT32_MAX;

// The kinds are the plan's: s send, r receive, rcs receive_send, rrc receive_reduce, rrs receive_reduce_send,
// rrcs receive_reduce_copy_send, cpy copy, re reduce (destination = destination + source), nop nothing.
struct ProgramStep {
    StepKind kind = StepKind::nothing;
    Place source{};
    Place destination{};
    std::uint32_t count = 0;  // consecutive chunks
    std::uint32_t thread_block = 0;
    std::optional<StepRef> wait{};  // as the file says: thread block of this gpu and step in it
    StepIndex waits_for = no_step;
    StepIndex sender = no_step;    // the step whose message this one receives
    StepIndex receiver = no_step;  // the step that receives this one's message
    std::uint32_t line = 0;
};

// `re` has one operand in the source, unlike the plan's reduce.
constexpr bool uses_source(StepKind kind) { return reads_source(kind) || kind == StepKind::reduce; }

struct ThreadBlock {
    Rank gpu = 0;
    std::uint32_t id = 0;
    Rank send = no_rank;
    Rank receive = no_rank;
    Channel channel = 0;
    StepIndex first_step = 0;
    std::uint32_t step_count = 0;
    std::uint32_t line = 0;
};

struct Gpu {
    std::uint32_t input_chunks = 0, output_chunks = 0, scratch_chunks = 0;  // bounds of the offsets
    std::uint32_t first_thread_block = 0, thread_block_count = 0;
    std::uint32_t line = 0;
};

struct Program {
    std::string file;  // for messages
    MscclFacts facts;
    std::uint32_t chunks = 0;  // nchunksperloop: of the larger buffer
    std::uint32_t pieces = 0;  // chunks of one block
    std::vector<Gpu> gpus;
    std::vector<ThreadBlock> thread_blocks;
    std::vector<ProgramStep> steps;

    Rank rank_count() const { return static_cast<Rank>(gpus.size()); }
    const ThreadBlock& thread_block_of(StepIndex step) const { return thread_blocks[steps[step].thread_block]; }
    // "gpu 0 tb 3 step 5 (rrc, line 17)"
    std::string where(StepIndex step) const;
};

std::string_view msccl_name_of(StepKind kind);
std::string name_of_chunk(const Place& place, std::uint32_t nth = 0);  // "s[5]"

// The chunks that each gpu's input and output have, by the collective's own definition (a root's, where it has one).
std::uint32_t input_chunks_of(const Program& program);
std::uint32_t output_chunks_of(const Program& program);

// Resolves what the steps refer to: `waits_for`, `sender`, `receiver`; refuses what does not exist or does not match.
Result<void> link_msccl(Program& program);

Result<Program> parse_msccl(std::string_view xml, std::string_view file);  // linked

}  // namespace tenon::msccl
