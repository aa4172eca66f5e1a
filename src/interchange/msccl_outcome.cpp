#include <fmt/format.h>

#include "interchange/msccl_memory.hpp"

namespace tenon::msccl {
namespace {

Value promised(const Program& program, const RankSets& sets, Rank gpu, std::uint32_t output_chunk, Rank root) {
    const auto in_own_block = [&](std::uint32_t chunk) {
        return static_cast<std::uint32_t>(gpu) * program.pieces + chunk;
    };
    const auto block_owner = static_cast<Rank>(output_chunk / program.pieces);
    switch (program.facts.collective) {
        case Collective::broadcast:
            return {output_chunk, sets.single(root)};
        case Collective::reduce_scatter:
            return {in_own_block(output_chunk), sets.all()};
        case Collective::all_gather:
            return {output_chunk % program.pieces, sets.single(block_owner)};
        case Collective::all_to_all:
            return {in_own_block(output_chunk % program.pieces), sets.single(block_owner)};
        default:
            return {output_chunk, sets.all()};
    }
}

struct Wrong {
    Rank gpu = 0;
    std::uint32_t chunk = 0;
};

std::optional<Wrong> first_wrong(const Program& program, const Cells& cells, const Memory& memory, Rank root) {
    for (Rank gpu = 0; gpu < program.rank_count(); gpu++) {
        if (!has_output(program, gpu, root)) continue;
        for (std::uint32_t chunk = 0; chunk < cells.outputs(); chunk++)
            if (memory.at(gpu, chunk).value != promised(program, memory.sets, gpu, chunk, root))
                return Wrong{gpu, chunk};
    }
    return std::nullopt;
}

std::string history(const Program& program, StepIndex writer) {
    StepIndex origin = writer;
    while (receives(program.steps[origin].kind) && !combines(program.steps[origin].kind))
        origin = program.steps[origin].sender;
    const std::string written = "last written by " + program.where(writer);
    return origin == writer ? written : written + ", sent by " + program.where(origin);
}

// The first step that threw away what this sum lacks.
std::string likely_cause(const Program& program, const Memory& memory, const Value& sum) {
    if (!reduces(program.facts.collective)) return "";
    for (const Loss& loss : memory.losses)
        if (loss.lost.chunk == sum.chunk && !memory.sets.includes(sum.gpus, loss.lost.gpus))
            return fmt::format("; {} writes over {} instead of adding to it", program.where(loss.by),
                               memory.describe(loss.lost));
    return "";
}

std::string describe(const Program& program, const Memory& memory, const Wrong& wrong, Rank root) {
    const CellState& cell = memory.at(wrong.gpu, wrong.chunk);
    const std::string wanted = memory.describe(promised(program, memory.sets, wrong.gpu, wrong.chunk, root));
    const std::string place = fmt::format("gpu {}'s output chunk {}", wrong.gpu, wrong.chunk);
    if (!cell.value) return fmt::format("{} must be {}, but nothing writes it", place, wanted);
    return fmt::format("{} ends as {}, but must be {}; {}{}", place, memory.describe(*cell.value), wanted,
                       cell.is_written ? history(program, cell.last_write.step) : "no step writes it",
                       likely_cause(program, memory, *cell.value));
}

}  // namespace

Memory::Memory(const Program& program, const Cells& cells) : sets(program.rank_count()) {
    for (Rank gpu = 0; gpu < program.rank_count(); gpu++) {
        auto& states = gpus.emplace_back(cells.count(gpu));
        for (ChunkIndex chunk = 0; chunk < cells.inputs(); chunk++)
            states[cells.cell(gpu, {BufferId::input, 0}, chunk)].value = Value{chunk, sets.single(gpu)};
    }
}

std::string Memory::describe(const Value& value) const {
    return fmt::format("input chunk {} of gpu {}", value.chunk, sets.describe(value.gpus));
}

Result<Rank> check_outcome(const Program& program, const Cells& cells, const Memory& memory) {
    // The gpu whose data arrives is the root of a broadcast; that of a reduce is the one where the sum is.
    const Rank candidates = is_rooted(program.facts.collective) ? program.rank_count() : 1;
    for (Rank root = 0; root < candidates; root++)
        if (!first_wrong(program, cells, memory, root)) return root;
    const auto wrong = first_wrong(program, cells, memory, 0);
    const std::string_view if_rooted = candidates > 1 ? " (nor is another gpu its root)" : "";
    return fail(Status::invalid_argument,
                fmt::format("{}: this is no {}: {}{}", program.file, name_of(program.facts.collective),
                            describe(program, memory, *wrong, 0), if_rooted));
}

}  // namespace tenon::msccl
