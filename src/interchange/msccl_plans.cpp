// The parts of a split step, but the first, run in lanes and on channels of their own: in one lane, an exchange of many
// chunks would fill its channel before the other side drains it. Parts start when all of the step before is done.
//
// A chunk that no step has written yet is read from the input; one that was written lies in the output, or in scratch
// where the file writes to what is no output of this gpu. So the input is never written, in place or not. Output
// chunks that the file leaves as they are, because in place they are right already, are copied from the input by one
// lane more; all that read them read the input.
#include "interchange/msccl_plans.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "tenon/plugin/plan_builder.hpp"

namespace tenon::msccl {
namespace {

class Parts {
public:
    Parts(const Program& program, std::vector<bool> is_split) : program_(program), is_split_(std::move(is_split)) {}
    std::uint32_t count(StepIndex step) const { return is_split_[step] ? program_.steps[step].count : 1; }
    std::uint32_t chunks_of_each(StepIndex step) const { return is_split_[step] ? 1 : program_.steps[step].count; }

private:
    const Program& program_;
    std::vector<bool> is_split_;
};

// The plan's channels: as many for each of the file's as a split message on it has parts. Both ends have the same
// parts.
struct Channels {
    std::array<std::uint32_t, max_channels + 1> first{};

    static Result<Channels> lay_out(const Program& program, const Parts& parts) {
        std::array<std::uint32_t, max_channels> width{};
        for (StepIndex step = 0; step < program.steps.size(); step++)
            if (sends(program.steps[step].kind)) {
                std::uint32_t& channel_width = width[program.thread_block_of(step).channel];
                channel_width = std::max(channel_width, parts.count(step));
            }
        Channels channels;
        for (std::size_t channel = 0; channel < max_channels; channel++)
            channels.first[channel + 1] = channels.first[channel] + width[channel];
        if (channels.first[max_channels] > max_channels)
            return fail(Status::invalid_argument,
                        fmt::format("{}: messages whose chunks are used one by one must travel apart, which takes {} "
                                    "channels; a plan has {}",
                                    program.file, channels.first[max_channels], max_channels));
        return channels;
    }
};

class PlanWriter {
public:
    PlanWriter(const Program& program, const Cells& cells, const Dataflow& flow, const Parts& parts,
               const Channels& channels, Rank rank)
        : program_(program),
          cells_(cells),
          flow_(flow),
          parts_(parts),
          channels_(channels),
          rank_(rank),
          gpu_(program.gpus[static_cast<std::size_t>(rank)]),
          has_input_(has_input(program, rank, flow.root)),
          has_output_(has_output(program, rank, flow.root)),
          plan_({.collective = program.facts.collective,
                 .rank = rank,
                 .rank_count = program.rank_count(),
                 .root = flow.root},
                program.pieces) {}

    Result<Plan> write() {
        plan_.scratch({.buffer = BufferId::scratch, .count = scratch_cells()});
        for (std::uint32_t i = 0; i < gpu_.thread_block_count; i++) plan_.lane();
        for (const ThreadBlock& block : thread_blocks())
            if (!write_steps(block)) return std::unexpected(error_);
        for (const ThreadBlock& block : thread_blocks()) add_waits(block);
        copy_what_stays();
        Result<Plan> plan = plan_.finish();
        if (plan) plan->algorithm = program_.facts.name;
        return plan;
    }

private:
    std::span<const ThreadBlock> thread_blocks() const {
        return std::span{program_.thread_blocks}.subspan(gpu_.first_thread_block, gpu_.thread_block_count);
    }
    const Move& move(StepIndex step, std::uint32_t nth) const { return flow_.moves[flow_.first_move[step] + nth]; }
    bool stays(Cell cell) const {
        return cell < cells_.outputs() && flow_.output_stays[static_cast<std::size_t>(rank_) * cells_.outputs() + cell];
    }

    // Where a written cell lies in scratch, if it is no output of this gpu: after the file's own scratch.
    std::optional<std::uint32_t> scratch_cell(Cell cell) const {
        const std::uint32_t inputs_end = cells_.outputs() + cells_.inputs();
        if (cell >= inputs_end) return cell - inputs_end;
        if (!has_output_) return gpu_.scratch_chunks + cell;
        if (cell >= cells_.outputs()) return gpu_.scratch_chunks + (cell - cells_.outputs());
        return std::nullopt;
    }

    std::uint32_t scratch_cells() const {
        std::uint32_t used = 0;
        for (const ThreadBlock& block : thread_blocks())
            for (StepIndex step = block.first_step; step < block.first_step + block.step_count; step++)
                for (std::uint32_t nth = 0;
                     writes_destination(program_.steps[step].kind) && nth < program_.steps[step].count; nth++)
                    if (const auto cell = scratch_cell(move(step, nth).destination.cell))
                        used = std::max(used, *cell + 1);
        return used;
    }

    Chunk written(const Operand& operand, ChunkIndex piece, std::uint32_t count) const {
        if (const auto in_scratch = scratch_cell(operand.cell)) return {BufferId::scratch, *in_scratch, count, piece};
        return plan_.output(operand.cell, count);
    }
    Chunk read(const Operand& operand, ChunkIndex piece, std::uint32_t count) const {
        return operand.is_initial ? plan_.input(operand.input, count) : written(operand, piece, count);
    }

    bool write_steps(const ThreadBlock& block) {
        std::vector<LaneBuilder> lanes{LaneBuilder{plan_, block.id}};
        for (StepIndex index = block.first_step; index < block.first_step + block.step_count; index++) {
            if (!may_read(index)) return false;
            while (lanes.size() < parts_.count(index)) lanes.push_back(plan_.lane());
            auto& refs = written_.emplace_back();
            for (std::uint32_t part = 0; part < parts_.count(index); part++)
                refs.push_back(write_part(lanes[part], index, part));
        }
        return true;
    }

    bool may_read(StepIndex index) {
        for (std::uint32_t nth = 0; nth < program_.steps[index].count; nth++)
            if (move(index, nth).source.is_initial && !has_input_) {
                error_ = {Status::invalid_argument,
                          fmt::format("{}: {} reads the input, which only the root, gpu {}, has", program_.file,
                                      program_.where(index), flow_.root)};
                return false;
            }
        return true;
    }

    StepRef write_part(LaneBuilder& lane, StepIndex index, std::uint32_t part) {
        const ProgramStep& step = program_.steps[index];
        if (step.kind == StepKind::nothing) return lane.nothing().ref();
        const Move& what = move(index, part);
        const std::uint32_t count = parts_.chunks_of_each(index);
        const ThreadBlock& block = program_.thread_block_of(index);
        const auto channel = static_cast<Channel>(channels_.first[block.channel] + part);
        Step made{.kind = step.kind, .completes = what.completes};
        if (writes_destination(step.kind)) made.destination = written(what.destination, what.piece, count);
        if (reads_source(step.kind)) made.source = read(what.source, what.piece, count);
        if (sends(step.kind)) made.send_channel = channel, made.send_to = block.send;
        if (receives(step.kind)) made.receive_channel = channel, made.receive_from = block.receive;
        return step.kind == StepKind::reduce ? write_reduce(lane, what, made.destination) : lane.add(made).ref();
    }

    StepRef write_reduce(LaneBuilder& lane, const Move& what, const Chunk& destination) {
        const std::array operands{read(what.destination, what.piece, destination.count),
                                  read(what.source, what.piece, destination.count)};
        return lane.reduce(destination, operands).completes(what.completes).ref();
    }

    const std::vector<StepRef>& parts_written(StepIndex step) const {
        return written_[step - thread_blocks().front().first_step];
    }

    void add_waits(const ThreadBlock& block) {
        for (StepIndex index = block.first_step; index < block.first_step + block.step_count; index++)
            for (const StepRef part : parts_written(index)) {
                if (index > block.first_step) wait(part, parts_written(index - 1));
                if (program_.steps[index].waits_for != no_step)
                    wait(part, parts_written(program_.steps[index].waits_for));
            }
    }

    void wait(StepRef part, const std::vector<StepRef>& earlier) {
        for (const StepRef ref : earlier) StepHandle{plan_, part}.after(ref);
    }

    void copy_what_stays() {
        std::optional<LaneBuilder> lane;
        for (Cell first = 0; first < cells_.outputs(); first++) {
            if (!stays(first)) continue;
            std::uint32_t count = 1;
            while (stays(first + count)) count++;
            if (!lane) lane = plan_.lane();
            lane->copy(plan_.output(first, count), plan_.input(input_of(first), count));
            first += count;
        }
    }

    ChunkIndex input_of(Cell staying) const {
        if (program_.facts.collective != Collective::all_gather) return staying;
        return staying - static_cast<std::uint32_t>(rank_) * program_.pieces;
    }

    const Program& program_;
    const Cells& cells_;
    const Dataflow& flow_;
    const Parts& parts_;
    const Channels& channels_;
    Rank rank_;
    const Gpu& gpu_;
    bool has_input_, has_output_;
    PlanBuilder plan_;
    std::vector<std::vector<StepRef>> written_;  // by step of this gpu, its parts
    Error error_;
};

}  // namespace

Result<std::vector<Plan>> write_plans(const Program& program, const Cells& cells, const Dataflow& flow) {
    const Parts parts{program, steps_to_split(program, cells, flow)};
    const Result<Channels> channels = Channels::lay_out(program, parts);
    if (!channels) return std::unexpected(channels.error());
    std::vector<Plan> plans;
    for (Rank rank = 0; rank < program.rank_count(); rank++) {
        Result<Plan> plan = PlanWriter{program, cells, flow, parts, *channels, rank}.write();
        if (!plan) return std::unexpected(plan.error());
        plans.push_back(std::move(*plan));
    }
    return plans;
}

}  // namespace tenon::msccl
