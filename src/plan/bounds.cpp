#include "plan/bounds.hpp"

#include <fmt/format.h>

#include "plan/names.hpp"

namespace tenon {
namespace {

// Checks one step; `problem` says what is wrong with it, empty where nothing is.
class StepCheck {
public:
    StepCheck(const Plan& plan, StepRef at) : plan_(plan), at_(at), step_(plan.lanes[at.lane].steps[at.step]) {}

    std::string problem() const {
        if (step_.kind > StepKind::nothing) return "is of no known kind";
        for (auto check : {&StepCheck::references, &StepCheck::chunks, &StepCheck::peers, &StepCheck::marks})
            if (std::string found = (this->*check)(); !found.empty()) return found;
        return {};
    }

private:
    std::string references() const {
        if (step_.first_operand > plan_.operands.size() ||
            step_.operand_count > plan_.operands.size() - step_.first_operand)
            return "has operands outside the plan's list";
        if (step_.first_dependency > plan_.dependencies.size() ||
            step_.dependency_count > plan_.dependencies.size() - step_.first_dependency)
            return "has dependencies outside the plan's list";
        for (const StepRef& earlier : plan_.dependencies_of(step_)) {
            if (earlier.lane >= plan_.lanes.size() || earlier.step >= plan_.lanes[earlier.lane].steps.size())
                return fmt::format("waits for lane {}, step {}, which there is not", earlier.lane, earlier.step);
            if (earlier.lane == at_.lane && earlier.step >= at_.step)
                return fmt::format("waits for step {} of its own lane, which comes no earlier", earlier.step);
        }
        return {};
    }

    std::string chunk(std::string_view what, const Chunk& c) const {
        if (c.buffer > BufferId::scratch) return fmt::format("has a {} in no known buffer", what);
        std::uint64_t cells = plan_.scratch_cells;
        if (c.buffer == BufferId::input) cells = std::uint64_t{plan_.input_blocks} * plan_.pieces;
        if (c.buffer == BufferId::output) cells = std::uint64_t{plan_.output_blocks} * plan_.pieces;
        if (c.index >= cells || c.count > cells - c.index)
            return fmt::format("has a {} out of bounds: {}, and {} has {} pieces", what, name_of(c), name_of(c.buffer),
                               cells);
        const bool right = c.buffer == BufferId::scratch ? c.shape < plan_.pieces : c.shape == c.index % plan_.pieces;
        if (!right) return fmt::format("has a {} with the shape of piece {}: {}", what, c.shape, name_of(c));
        return {};
    }

    // Everything that one step touches has one length, for every count.
    std::string chunks() const {
        const Chunk& first = writes_destination(step_.kind) ? step_.destination : step_.source;
        const auto check = [&](std::string_view what, const Chunk& c) -> std::string {
            // A barrier's blocks have no elements; what it sends is tokens, which are sent all the same.
            if (plan_.collective == Collective::barrier)
                return c.count == 0
                           ? ""
                           : fmt::format("moves data in a barrier: {}; send tokens, that is empty chunks", name_of(c));
            if (c.count == 0) return fmt::format("has no {}; an empty one would move nothing", what);
            if (std::string found = chunk(what, c); !found.empty()) return found;
            if (c.count != first.count || c.shape != first.shape)
                return fmt::format("mixes chunks of different lengths: {} and {}", name_of(first), name_of(c));
            return {};
        };
        std::string found;
        if (reads_source(step_.kind)) found = check("source", step_.source);
        if (found.empty() && writes_destination(step_.kind)) {
            found = check("destination", step_.destination);
            if (found.empty() && step_.destination.count != 0 && step_.destination.buffer == BufferId::input)
                return "writes the input, which is the caller's; write the output, which may be the same memory";
        }
        const bool takes_operands = step_.kind == StepKind::reduce || step_.kind == StepKind::reduce_send;
        if (found.empty() && takes_operands != (step_.operand_count != 0))
            return takes_operands ? "reduces no operands" : "has operands, which only reduce steps use";
        for (const Chunk& operand : plan_.operands_of(step_))
            if (found.empty()) found = check("operand", operand);
        return found;
    }

    bool is_peer(Rank rank) const { return rank >= 0 && rank < plan_.rank_count && rank != plan_.rank; }

    std::string peers() const {
        if (sends(step_.kind)) {
            const bool published = step_.send_to == everyone && step_.send_channel == board_channel;
            if (!published && !(is_peer(step_.send_to) && step_.send_channel < max_channels))
                return fmt::format(
                    "sends to {} on channel {}; a message goes to another rank on a channel below {}, "
                    "or to everyone on the board ({})",
                    name_of_peer(step_.send_to), step_.send_channel, max_channels, board_channel);
        }
        if (receives(step_.kind) && !(is_peer(step_.receive_from) && step_.receive_channel <= board_channel))
            return fmt::format(
                "receives from {} on channel {}; a message comes from another rank, on a channel up to {}",
                name_of_peer(step_.receive_from), step_.receive_channel, board_channel);
        return {};
    }

    std::string marks() const {
        if (step_.completes && !combines(step_.kind) && plan_.rank_count > 1)
            return "is marked as completing a sum, but combines nothing";
        const bool sends_from_memory = sends(step_.kind) && step_.kind != StepKind::receive_reduce_send;
        if (step_.source_stable && !sends_from_memory) return "claims a stable source, but sends nothing from memory";
        const bool stores_message = step_.kind == StepKind::receive || step_.kind == StepKind::receive_send;
        if (step_.destination_free && !stores_message)
            return "claims a free destination, but stores no message as it comes";
        if (step_.exchanged && step_.kind != StepKind::send) return "claims to be exchanged, but is no plain send";
        if (step_.answered && !sends(step_.kind)) return "claims to be answered, but sends nothing";
        return {};
    }

    const Plan& plan_;
    StepRef at_;
    const Step& step_;
};

std::string problem_of_header(const Plan& plan) {
    if (static_cast<std::size_t>(plan.collective) >= planned_collective_count) return "has no planned collective";
    if (plan.rank_count < 1 || plan.rank_count > max_plan_ranks)
        return fmt::format("has {} ranks; 1 to {} are possible", plan.rank_count, max_plan_ranks);
    if (plan.rank < 0 || plan.rank >= plan.rank_count)
        return fmt::format("is for rank {} of {}", plan.rank, plan.rank_count);
    if (plan.root < 0 || plan.root >= plan.rank_count)
        return fmt::format("has root {} of {} ranks", plan.root, plan.rank_count);
    if (plan.pieces < 1 || plan.pieces > max_pieces)
        return fmt::format("cuts a block in {} pieces; 1 to {} are possible", plan.pieces, max_pieces);
    if (plan.scratch_cells > max_scratch_cells)
        return fmt::format("needs {} scratch cells; {} are possible", plan.scratch_cells, max_scratch_cells);
    const auto inputs = input_blocks(plan.collective, plan.rank, plan.rank_count, plan.root);
    const auto outputs = output_blocks(plan.collective, plan.rank, plan.rank_count, plan.root);
    if (plan.input_blocks != inputs || plan.output_blocks != outputs)
        return fmt::format("has {} input and {} output blocks; rank {} of a {} has {} and {}", plan.input_blocks,
                           plan.output_blocks, plan.rank, name_of(plan.collective), inputs, outputs);
    if (std::uint64_t{std::max(inputs, outputs)} * plan.pieces > UINT32_MAX)
        return fmt::format("has too many pieces: {} in each of {} blocks", plan.pieces, std::max(inputs, outputs));
    return {};
}

}  // namespace

std::string name_of_step(const Plan& plan, StepRef at) {
    const StepKind kind = plan.lanes[at.lane].steps[at.step].kind;
    return fmt::format("rank {}, lane {}, step {} ({})", plan.rank, at.lane, at.step,
                       kind <= StepKind::nothing ? name_of(kind) : "unknown");
}

Result<void> check_bounds(const Plan& plan) {
    if (std::string problem = problem_of_header(plan); !problem.empty())
        return fail(Status::invalid_argument, "the plan " + problem);
    for (std::uint32_t lane = 0; lane < plan.lanes.size(); lane++)
        for (std::uint32_t step = 0; step < plan.lanes[lane].steps.size(); step++)
            if (std::string problem = StepCheck{plan, {lane, step}}.problem(); !problem.empty())
                return fail(Status::invalid_argument, name_of_step(plan, {lane, step}) + " " + problem);
    return {};
}

}  // namespace tenon
