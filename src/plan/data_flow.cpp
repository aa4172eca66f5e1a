#include "plan/data_flow.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "plan/expressions.hpp"
#include "plan/memory_map.hpp"
#include "plan/names.hpp"

namespace tenon {
namespace {

constexpr Expression unwritten = (1u << 30) - 1;

struct Value {
    Expression expression : 30 = unwritten;
    bool complete : 1 = false;     // a step marked `completes` made it
    bool in_one_step : 1 = false;  // one step made it from raw inputs
};

class DataFlow {
public:
    DataFlow(const World& world, bool in_place) : world_(world), expressions_(world.plans()) {
        for (const Plan& plan : world.plans()) {
            maps_.emplace_back(plan, in_place);
            memory_.emplace_back(maps_.back().cell_count());
            const Cell inputs = plan.input_blocks * plan.pieces;
            for (Cell piece = 0; piece < inputs; piece++)
                memory_.back()[maps_.back().first_cell(BufferId::input) + piece].expression =
                    expressions_.input(plan.rank, piece);
        }
    }

    Result<DataFlowFacts> run(std::span<const StepId> order) {
        for (const StepId id : order)
            if (auto done = execute(id); !done) return std::unexpected(done.error());
        DataFlowFacts facts;
        for (const Plan& plan : world_.plans())
            for (Cell piece = 0; piece < plan.output_blocks * plan.pieces; piece++)
                if (auto right = check_output(plan, piece, facts); !right) return std::unexpected(right.error());
        return facts;
    }

private:
    struct Message {
        std::vector<Value> values;
        std::uint32_t readers = 0;
    };

    Result<void> execute(StepId id) {
        const Step& step = world_.step(id);
        std::vector<Value> result;
        if (receives(step.kind)) result = take_message(id);
        if (reads_source(step.kind)) {
            auto source = read(id, step.source);
            if (!source) return std::unexpected(source.error());
            if (!receives(step.kind))
                result = std::move(*source);
            else if (auto sum = combine(id, {&*source, &result}); !sum)
                return std::unexpected(sum.error());
            else
                result = std::move(*sum);
        }
        if (step.operand_count != 0) {
            auto sum = reduce(id);
            if (!sum) return std::unexpected(sum.error());
            result = std::move(*sum);
        }
        if (step.completes)
            if (auto marked = complete(id, result); !marked) return marked;
        if (writes_destination(step.kind)) std::ranges::copy(result, cells(id, step.destination));
        if (sends(step.kind)) in_flight_[id] = {std::move(result), world_.outgoing_count(id)};
        return {};
    }

    Value* cells(StepId id, const Chunk& chunk) {
        const auto rank = static_cast<std::size_t>(world_.plan_of(id).rank);
        return memory_[rank].data() + maps_[rank].first_cell(chunk);
    }

    Result<std::vector<Value>> read(StepId id, const Chunk& chunk) {
        const Value* first = cells(id, chunk);
        for (std::uint32_t i = 0; i < chunk.count; i++)
            if (first[i].expression == unwritten)
                return wrong(id, fmt::format("reads {} {}, which nothing has written yet", name_of(chunk.buffer),
                                             chunk.index + i));
        return std::vector<Value>(first, first + chunk.count);
    }

    std::vector<Value> take_message(StepId id) {
        const auto found = in_flight_.find(world_.sender_of(id));
        if (--found->second.readers != 0) return found->second.values;
        std::vector<Value> values = std::move(found->second.values);
        in_flight_.erase(found);
        return values;
    }

    Result<std::vector<Value>> reduce(StepId id) {
        std::vector<std::vector<Value>> operands;
        for (const Chunk& chunk : world_.plan_of(id).operands_of(world_.step(id))) {
            auto values = read(id, chunk);
            if (!values) return values;
            operands.push_back(std::move(*values));
        }
        std::vector<const std::vector<Value>*> pointers;
        for (const auto& operand : operands) pointers.push_back(&operand);
        return combine(id, pointers);
    }

    Result<std::vector<Value>> combine(StepId id, std::span<const std::vector<Value>* const> operands) {
        if (!reduces(world_.plan_of(id).collective))
            return wrong(id, fmt::format("combines data in a {}", name_of(world_.plan_of(id).collective)));
        std::vector<Value> result(operands.front()->size());
        std::vector<Expression> sides(operands.size());
        for (std::size_t piece = 0; piece < result.size(); piece++) {
            bool raw = true;
            for (std::size_t i = 0; i < sides.size(); i++) {
                const Value& value = (*operands[i])[piece];
                if (value.complete)
                    return wrong(id,
                                 "adds to a sum that is complete already: " + expressions_.describe(value.expression));
                sides[i] = value.expression;
                raw = raw && expressions_.is_input(value.expression);
            }
            const Expression sum = expressions_.tree(sides);
            if (sum >= unwritten) return wrong(id, "makes the world too large to verify: 2^30 expressions");
            result[piece] = {sum, false, raw};
        }
        return result;
    }
    Result<std::vector<Value>> combine(StepId id, std::initializer_list<const std::vector<Value>*> operands) {
        return combine(id, std::span(operands.begin(), operands.size()));
    }

    Result<void> complete(StepId id, std::vector<Value>& values) {
        if (!reduces(world_.plan_of(id).collective))
            return wrong(id,
                         fmt::format("is marked as completing a sum in a {}", name_of(world_.plan_of(id).collective)));
        for (Value& value : values) {
            if (value.complete) return wrong(id, "completes a sum that is complete already");
            if (!expressions_.is_complete(value.expression))
                return wrong(id, "is marked as completing a sum, which is not each rank's contribution once: " +
                                     expressions_.describe(value.expression));
            value.complete = true;
        }
        return {};
    }

    // The raw input that a piece of the output is, or, where a sum is due, rank 0's contribution to it.
    Expression expected_input(const Plan& plan, Cell piece) const {
        const Rank block = static_cast<Rank>(piece / plan.pieces);
        const Cell in_block = piece % plan.pieces;
        const Cell mine = static_cast<Cell>(plan.rank) * plan.pieces + in_block;
        switch (plan.collective) {
            case Collective::broadcast:
                return expressions_.input(plan.root, piece);
            case Collective::scatter:
                return expressions_.input(plan.root, mine);
            case Collective::all_to_all:
                return expressions_.input(block, mine);
            case Collective::reduce_scatter:
                return expressions_.input(0, mine);
            case Collective::all_gather:
            case Collective::gather:
                return expressions_.input(block, in_block);
            default:
                return expressions_.input(0, piece);
        }
    }

    Result<void> check_output(const Plan& plan, Cell piece, DataFlowFacts& facts) {
        const auto rank = static_cast<std::size_t>(plan.rank);
        const Value& value = memory_[rank][maps_[rank].first_cell(BufferId::output) + piece];
        const auto problem = [&](std::string_view what) {
            return fail(Status::invalid_argument, fmt::format("rank {}'s output {} {}", rank, piece, what));
        };
        if (value.expression == unwritten) return problem("is never written");
        const Expression expected = expected_input(plan, piece);
        if (!reduces(plan.collective)) {
            if (value.expression == expected) return {};
            return problem(fmt::format("ends as {}, but must be {}", expressions_.describe(value.expression),
                                       expressions_.describe(expected)));
        }
        const std::uint32_t of_piece = expressions_.piece_of_input(expected);
        if (!expressions_.is_complete(value.expression) ||
            expressions_.piece_of_input(expressions_.leftmost_input(value.expression)) != of_piece)
            return problem(fmt::format("ends as {}, but must be the sum of input {} of all {} ranks, each once",
                                       expressions_.describe(value.expression), of_piece, plan.rank_count));
        if (!value.complete && plan.rank_count > 1)
            return problem("ends as a complete sum that no step is marked as completing");
        facts.tree = facts.tree && value.expression == tree_of(of_piece);
        facts.tree_in_one_step = facts.tree && facts.tree_in_one_step && (value.in_one_step || plan.rank_count == 1);
        return {};
    }

    Expression tree_of(std::uint32_t piece) {
        const auto [found, is_new] = trees_.try_emplace(piece);
        if (is_new) {
            std::vector<Expression> leaves;
            for (const Plan& plan : world_.plans()) leaves.push_back(expressions_.input(plan.rank, piece));
            found->second = expressions_.tree(leaves);
        }
        return found->second;
    }

    std::unexpected<Error> wrong(StepId id, const std::string& what) const {
        return fail(Status::invalid_argument, world_.name(id) + " " + what);
    }

    const World& world_;
    Expressions expressions_;
    std::vector<MemoryMap> maps_;
    std::vector<std::vector<Value>> memory_;  // by rank, by cell
    std::unordered_map<StepId, Message> in_flight_;
    std::unordered_map<std::uint32_t, Expression> trees_;
};

}  // namespace

Result<DataFlowFacts> follow_data(const World& world, std::span<const StepId> order, bool in_place) {
    std::uint64_t cells = 0;
    for (const Plan& plan : world.plans()) cells += MemoryMap{plan, in_place}.cell_count();
    if (cells >= unwritten)
        return fail(Status::invalid_argument, fmt::format("{} pieces are too many to verify", cells));
    return DataFlow{world, in_place}.run(order);
}

Result<void> follow_arrivals(const World& world, std::span<const StepId> order) {
    using RankSet = std::vector<std::uint64_t>;  // one bit per rank
    const std::size_t ranks = world.plans().size();
    const RankSet nobody((ranks + 63) / 64);
    const auto has = [](const RankSet& set, std::size_t rank) { return (set[rank / 64] >> rank % 64 & 1) != 0; };
    const auto join = [](RankSet& here, const RankSet& from) {
        for (std::size_t word = 0; word < here.size(); word++) here[word] |= from[word];
    };
    std::vector<RankSet> entered(world.step_count());  // by step: who is known to have entered when it is done
    std::vector<RankSet> entered_at_end(ranks, nobody);
    for (const StepId id : order) {
        const Plan& plan = world.plan_of(id);
        const auto rank = static_cast<std::size_t>(plan.rank);
        RankSet& here = entered[id] = nobody;
        here[rank / 64] |= std::uint64_t{1} << rank % 64;
        if (id > world.first_step(world.lane_of(id))) join(here, entered[id - 1]);
        for (const StepRef& earlier : plan.dependencies_of(world.step(id)))
            join(here, entered[world.id(plan.rank, earlier)]);
        if (receives(world.step(id).kind)) join(here, entered[world.sender_of(id)]);
        if (id + 1 == world.end_step(world.lane_of(id))) join(entered_at_end[rank], here);
    }
    for (std::size_t rank = 0; rank < ranks; rank++)
        for (std::size_t other = 0; other < ranks; other++)
            if (other != rank && !has(entered_at_end[rank], other))
                return fail(Status::invalid_argument,
                            fmt::format("rank {} may leave the barrier before rank {} has entered it", rank, other));
    return {};
}

}  // namespace tenon
