// Which steps of several chunks cannot be one step of a plan.
//
// Their chunks must be one run: consecutive, of consecutive lengths, with one thing said of all. And the tiles of a
// plan's chunk count from its start, so all steps that use a cell, if one of them writes it, must start at the same
// cell; where they do not, those of several chunks are split. A message is split at both ends. Splitting a step moves
// where it starts, so that others may have to follow.
#include <algorithm>

#include "interchange/msccl_dataflow.hpp"

namespace tenon::msccl {
namespace {

class Splitter {
public:
    Splitter(const Program& program, const Cells& cells, const Dataflow& flow)
        : program_(program), cells_(cells), flow_(flow), is_split_(program.steps.size()) {
        std::size_t all = 0;
        for (Rank gpu = 0; gpu < program.rank_count(); gpu++) {
            first_cell_.push_back(all);
            all += cells.count(gpu);
        }
        is_written_.resize(all);
        note_writes();
    }

    std::vector<bool> run() {
        for (StepIndex step = 0; step < program_.steps.size(); step++)
            if (!is_one_run(step)) split(step);
        constexpr int most_rounds = 16;
        for (int round = 0; split_unaligned(); round++)
            if (round == most_rounds)
                for (StepIndex step = 0; step < program_.steps.size(); step++)
                    is_split_[step] = program_.steps[step].count > 1;
        return std::move(is_split_);
    }

private:
    Rank gpu_of(StepIndex step) const { return program_.thread_block_of(step).gpu; }
    const Move& move(StepIndex step, std::uint32_t nth) const { return flow_.moves[flow_.first_move[step] + nth]; }
    std::size_t in_all(Rank gpu, Cell cell) const { return first_cell_[static_cast<std::size_t>(gpu)] + cell; }

    void note_writes() {
        for (StepIndex step = 0; step < program_.steps.size(); step++)
            for (std::uint32_t nth = 0; nth < program_.steps[step].count; nth++)
                if (writes_destination(program_.steps[step].kind))
                    is_written_[in_all(gpu_of(step), move(step, nth).destination.cell)] = true;
    }

    bool is_one_run(StepIndex index) const {
        const ProgramStep& step = program_.steps[index];
        for (std::uint32_t nth = 1; nth < step.count; nth++) {
            const Move &before = move(index, nth - 1), &now = move(index, nth);
            // In scratch every cell has room for the longest piece, so a run there ends with its block.
            const bool piece_follows = program_.pieces == 1 || now.piece == before.piece + 1;
            if (now.completes != before.completes) return false;
            if (uses_source(step.kind) && !follows(before.source, now.source, piece_follows)) return false;
            if (step.kind == StepKind::reduce && !follows(before.destination, now.destination, piece_follows))
                return false;
            if (writes_destination(step.kind) && !is_next_cell(before.destination, now.destination, piece_follows))
                return false;
        }
        return true;
    }

    bool follows(const Operand& before, const Operand& now, bool piece_follows) const {
        if (now.is_initial != before.is_initial) return false;
        return now.is_initial ? now.input == before.input + 1 : is_next_cell(before, now, piece_follows);
    }

    bool is_next_cell(const Operand& before, const Operand& now, bool piece_follows) const {
        return now.cell == before.cell + 1 && (now.cell < cells_.outputs() || piece_follows);
    }

    void split(StepIndex first) {
        std::vector<StepIndex> affected{first};
        while (!affected.empty()) {
            const StepIndex step = affected.back();
            affected.pop_back();
            if (step == no_step || is_split_[step]) continue;
            is_split_[step] = true;
            affected.push_back(program_.steps[step].sender);
            affected.push_back(program_.steps[step].receiver);
        }
    }

    template <class Visit>
    void each_use(StepIndex index, const Visit& visit) const {
        const ProgramStep& step = program_.steps[index];
        const Rank gpu = gpu_of(index);
        for (std::uint32_t nth = 0; nth < step.count; nth++) {
            const std::uint32_t from_start = is_split_[index] ? 0 : nth;
            if (uses_source(step.kind)) visit(in_all(gpu, move(index, nth).source.cell), from_start);
            if (writes_destination(step.kind)) visit(in_all(gpu, move(index, nth).destination.cell), from_start);
        }
    }

    bool split_unaligned() {
        constexpr std::uint32_t unused = UINT32_MAX, several = UINT32_MAX - 1;
        std::vector<std::uint32_t> from_start(is_written_.size(), unused);
        for (StepIndex step = 0; step < program_.steps.size(); step++)
            each_use(step, [&](std::size_t cell, std::uint32_t here) {
                if (from_start[cell] == unused)
                    from_start[cell] = here;
                else if (from_start[cell] != here)
                    from_start[cell] = several;
            });
        bool any = false;
        for (StepIndex step = 0; step < program_.steps.size(); step++) {
            if (is_split_[step] || program_.steps[step].count < 2) continue;
            bool is_aligned = true;
            each_use(step, [&](std::size_t cell, std::uint32_t) {
                if (is_written_[cell] && from_start[cell] == several) is_aligned = false;
            });
            if (is_aligned) continue;
            split(step);
            any = true;
        }
        return any;
    }

    const Program& program_;
    const Cells& cells_;
    const Dataflow& flow_;
    std::vector<bool> is_split_;
    std::vector<std::size_t> first_cell_;  // by gpu, in is_written_
    std::vector<bool> is_written_;
};

}  // namespace

std::vector<bool> steps_to_split(const Program& program, const Cells& cells, const Dataflow& flow) {
    return Splitter{program, cells, flow}.run();
}

}  // namespace tenon::msccl
