// Every step is executed once, in an order in which nothing is waited for in vain, with as many messages in flight as
// are sent: how few a plan may count on is for the plan's verifier. What a step finds does not depend on the order,
// unless two unordered steps meet in one chunk, which the plan's verifier refuses.
#include "interchange/msccl_dataflow.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "interchange/msccl_memory.hpp"

namespace tenon::msccl {
namespace {

class Run {
public:
    Run(const Program& program, const Cells& cells, Dataflow& flow)
        : program_(program),
          cells_(cells),
          flow_(flow),
          memory_(program, cells),
          messages_(program.steps.size()),
          next_(program.thread_blocks.size()),
          waiting_(program.thread_blocks.size()) {}

    Result<void> run() {
        std::vector<std::uint32_t> runnable;
        for (auto block = static_cast<std::uint32_t>(program_.thread_blocks.size()); block-- > 0;)
            runnable.push_back(block);
        while (!runnable.empty()) {
            const std::uint32_t block = runnable.back();
            runnable.pop_back();
            const std::uint32_t done_before = next_[block];
            StepIndex awaited = no_step;
            while (!ended(block) && (awaited = awaited_by(current(block))) == no_step) {
                if (!execute(current(block))) return std::unexpected(error_);
                next_[block]++;
            }
            if (awaited != no_step) waiting_[program_.steps[awaited].thread_block].push_back(block);
            if (next_[block] == done_before) continue;  // whoever waits for it would find nothing new, for ever
            runnable.insert(runnable.end(), waiting_[block].begin(), waiting_[block].end());
            waiting_[block].clear();
        }
        for (std::uint32_t block = 0; block < next_.size(); block++)
            if (!ended(block)) return std::unexpected(deadlock(block));
        return {};
    }

    const Memory& memory() const { return memory_; }

private:
    bool ended(std::uint32_t block) const { return next_[block] == program_.thread_blocks[block].step_count; }
    StepIndex current(std::uint32_t block) const { return program_.thread_blocks[block].first_step + next_[block]; }
    bool is_done(StepIndex step) const { return step < current(program_.steps[step].thread_block); }

    StepIndex awaited_by(StepIndex index) const {
        const ProgramStep& step = program_.steps[index];
        if (step.waits_for != no_step && !is_done(step.waits_for)) return step.waits_for;
        if (step.sender != no_step && !is_done(step.sender)) return step.sender;
        return no_step;
    }

    // Every thread block that has not ended waits for another such, so following them ends in a circle.
    Error deadlock(std::uint32_t block) const {
        std::vector<std::uint32_t> chain;
        while (std::ranges::find(chain, block) == chain.end()) {
            chain.push_back(block);
            block = program_.steps[awaited_by(current(block))].thread_block;
        }
        chain.erase(chain.begin(), std::ranges::find(chain, block));
        constexpr std::size_t shown = 4;
        std::string circle;
        for (std::size_t i = 0; i < std::min(chain.size(), shown); i++)
            circle += fmt::format("{} waits for {}; ", program_.where(current(chain[i])),
                                  program_.where(awaited_by(current(chain[i]))));
        return {Status::invalid_argument, fmt::format("{}: deadlock: {}{} thread block(s) wait in a circle",
                                                      program_.file, circle, chain.size())};
    }

    bool refuse(StepIndex step, std::string_view why) {
        error_ = {Status::invalid_argument, fmt::format("{}: {} {}", program_.file, program_.where(step), why)};
        return false;
    }

    bool execute(StepIndex index) {
        const ProgramStep& step = program_.steps[index];
        std::vector<Value> arrived;
        if (step.sender != no_step) arrived = std::move(messages_[step.sender]);
        for (std::uint32_t nth = 0; nth < step.count; nth++) {
            Move& move = flow_.moves[flow_.first_move[index] + nth];
            move = {};
            std::optional<Value> result;
            if (receives(step.kind)) result = arrived[nth];
            if (step.kind == StepKind::reduce &&
                !take_in({index, nth}, step.destination, move.destination, result, move))
                return false;
            if (uses_source(step.kind) && !take_in({index, nth}, step.source, move.source, result, move)) return false;
            if (writes_destination(step.kind) && !write({index, nth}, *result, move)) return false;
            move.piece = result->chunk % program_.pieces;
            if (sends(step.kind)) messages_[index].push_back(*result);
        }
        return true;
    }

    // Reads a chunk and adds it to what the step has so far.
    bool take_in(const Use& use, const Place& place, Operand& operand, std::optional<Value>& sum, Move& move) {
        const Rank gpu = gpu_of(use.step);
        operand.cell = cells_.cell(gpu, place, use.nth);
        CellState& state = memory_.at(gpu, operand.cell);
        if (!state.value)
            return refuse(use.step,
                          fmt::format("reads {}, which nothing has written yet", name_of_chunk(place, use.nth)));
        if (state.last_write.step == use.step)
            return refuse(use.step, "reads what it writes: its source and destination overlap");
        operand.is_initial = !state.is_written;
        operand.input = state.value->chunk;
        state.last_read = use;
        if (sum) return add(use.step, *sum, *state.value, move);
        sum = state.value;
        return true;
    }

    bool add(StepIndex index, Value& sum, const Value& more, Move& move) {
        if (!reduces(program_.facts.collective))
            return refuse(index,
                          fmt::format("adds two chunks, but {} only moves data", name_of(program_.facts.collective)));
        if (sum.chunk != more.chunk)
            return refuse(index, fmt::format("adds {} to {}", memory_.describe(more), memory_.describe(sum)));
        const auto both = memory_.sets.disjoint_union(sum.gpus, more.gpus);
        if (!both)
            return refuse(index, fmt::format("adds {} to {}: a contribution would count twice", memory_.describe(more),
                                             memory_.describe(sum)));
        sum.gpus = *both;
        move.completes = *both == memory_.sets.all();
        return true;
    }

    bool write(const Use& use, const Value& value, Move& move) {
        const Rank gpu = gpu_of(use.step);
        const Place& place = program_.steps[use.step].destination;
        move.destination.cell = cells_.cell(gpu, place, use.nth);
        const bool in_output = move.destination.cell < cells_.outputs();
        if (in_output && move.destination.cell % program_.pieces != value.chunk % program_.pieces)
            return refuse(use.step, fmt::format("puts {} in {}, whose length may be another", memory_.describe(value),
                                                name_of_chunk(place, use.nth)));
        CellState& state = memory_.at(gpu, move.destination.cell);
        if (state.last_read.step == use.step && state.last_read.nth != use.nth)
            return refuse(use.step, "writes what it reads: its source and destination overlap");
        if (state.value && state.last_read.step == no_step && state.value->chunk == value.chunk &&
            !memory_.sets.includes(value.gpus, state.value->gpus))
            memory_.losses.push_back({*state.value, use.step});
        state = {.value = value, .is_written = true, .last_write = use};
        return true;
    }

    Rank gpu_of(StepIndex step) const { return program_.thread_block_of(step).gpu; }

    const Program& program_;
    const Cells& cells_;
    Dataflow& flow_;
    Memory memory_;
    std::vector<std::vector<Value>> messages_;  // by the step that sent them
    std::vector<std::uint32_t> next_;           // by thread block: how many of its steps are done
    std::vector<std::vector<std::uint32_t>> waiting_;
    Error error_;
};

}  // namespace

Result<Dataflow> follow_data(const Program& program, const Cells& cells) {
    Dataflow flow;
    std::uint32_t moves = 0;
    for (const ProgramStep& step : program.steps) {
        flow.first_move.push_back(moves);
        moves += step.count;
    }
    flow.moves.resize(moves);
    Run run{program, cells, flow};
    if (const Result<void> ended = run.run(); !ended) return std::unexpected(ended.error());
    const Memory& memory = run.memory();
    const Result<Rank> root = check_outcome(program, cells, memory);
    if (!root) return std::unexpected(root.error());
    flow.root = *root;
    for (Rank gpu = 0; gpu < program.rank_count(); gpu++)
        for (Cell output = 0; output < cells.outputs(); output++)
            flow.output_stays.push_back(has_output(program, gpu, *root) && !memory.at(gpu, output).is_written);
    return flow;
}

}  // namespace tenon::msccl
