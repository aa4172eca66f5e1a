#include "tests/interchange/plan_runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <tuple>
#include <vector>

namespace tenon::interchange_test {
namespace {

constexpr DataType type = DataType::float64;
constexpr std::size_t channel_depth = 2;

double contribution(Rank rank, std::uint64_t element) {
    return static_cast<double>((static_cast<std::uint64_t>(rank) * 7919 + element * 31) % 1009);
}

struct RankMemory {
    std::vector<double> user, apart, scratch;
    double* buffers[3] = {};  // by BufferId
};

struct LaneState {
    std::size_t step = 0;
    std::uint64_t tile = 0, tiles = 1;
};

class Runner {
public:
    Runner(std::span<const Plan> plans, const RunOptions& options) : plans_(plans), options_(options) {
        for (const Plan& plan : plans) {
            allocate(plan);
            auto& lanes = lanes_.emplace_back(plan.lanes.size());
            for (std::size_t lane = 0; lane < lanes.size(); lane++)
                for (const Step& step : plan.lanes[lane].steps) {
                    const std::uint64_t tiles =
                        (length(plan, step) + options.tile_elements - 1) / options.tile_elements;
                    lanes[lane].tiles = std::max(lanes[lane].tiles, tiles);
                }
        }
    }

    std::string run() {
        std::vector<std::pair<Rank, std::uint32_t>> open;
        for (const Plan& plan : plans_)
            for (std::uint32_t lane = 0; lane < plan.lanes.size(); lane++)
                if (!plan.lanes[lane].steps.empty()) open.emplace_back(plan.rank, lane);
        std::mt19937_64 random{options_.seed};
        std::size_t blocked = 0;
        while (!open.empty()) {
            // Every lane is tried before the world counts as stuck.
            if (blocked == 0) std::ranges::shuffle(open, random);
            const auto [rank, lane] = open[blocked];
            if (try_step(rank, lane)) {
                if (has_ended(rank, lane)) open.erase(open.begin() + static_cast<std::ptrdiff_t>(blocked));
                blocked = 0;
            } else if (++blocked == open.size()) {
                return fmt::format("{} lanes are stuck; rank {} lane {} at step {}", open.size(), rank, lane,
                                   state(rank, lane).step);
            }
            if (!problem_.empty()) return problem_;
        }
        return compare();
    }

private:
    using Route = std::tuple<Rank, Rank, Channel>;

    void allocate(const Plan& plan) {
        RankMemory& memory = memories_.emplace_back();
        const std::uint64_t count = options_.count;
        const std::uint64_t inputs = plan.input_blocks * count, outputs = plan.output_blocks * count;
        const std::uint64_t own = static_cast<std::uint64_t>(plan.rank) * count;
        memory.user.assign(std::max(inputs, outputs) + 1, -1);
        memory.apart.assign(outputs + 1, -1);
        memory.scratch.assign(plan.scratch_cells * piece_elements(ElementCount{count}, plan.pieces, type).value + 1,
                              -1);
        memory.buffers[2] = memory.scratch.data();
        const bool together =
            options_.in_place && plan.collective != Collective::all_to_all && inputs != 0 && outputs != 0;
        memory.buffers[0] = memory.user.data() + (together && outputs > inputs ? own : 0);
        memory.buffers[1] = together ? memory.user.data() + (inputs > outputs ? own : 0) : memory.apart.data();
        for (std::uint64_t i = 0; i < inputs; i++) memory.buffers[0][i] = contribution(plan.rank, i);
    }

    ElementRange range(const Plan& plan, const Chunk& chunk) const {
        return element_range(chunk, plan.pieces, ElementCount{options_.count}, type);
    }
    std::uint64_t length(const Plan& plan, const Step& step) const {
        return range(plan, writes_destination(step.kind) ? step.destination : step.source).count;
    }
    LaneState& state(Rank rank, std::uint32_t lane) { return lanes_[static_cast<std::size_t>(rank)][lane]; }
    bool has_ended(Rank rank, std::uint32_t lane) { return state(rank, lane).tile == state(rank, lane).tiles; }

    bool is_free_to_run(const Plan& plan, const Step& step, std::uint64_t tile) {
        return std::ranges::all_of(plan.dependencies_of(step), [&](const StepRef& earlier) {
            const LaneState& other = state(plan.rank, earlier.lane);
            return other.tile > tile || other.tile == other.tiles || (other.tile == tile && other.step > earlier.step);
        });
    }

    bool try_step(Rank rank, std::uint32_t lane) {
        const Plan& plan = plans_[static_cast<std::size_t>(rank)];
        LaneState& here = state(rank, lane);
        const Step& step = plan.lanes[lane].steps[here.step];
        if (!is_free_to_run(plan, step, here.tile)) return false;
        const std::uint64_t offset = here.tile * options_.tile_elements;
        const std::uint64_t whole = length(plan, step);
        const std::uint64_t elements = whole > offset ? std::min(whole - offset, options_.tile_elements) : 0;
        if (elements != 0 && !execute(plan, step, offset, elements)) return false;
        if (++here.step == plan.lanes[lane].steps.size()) here.step = 0, here.tile++;
        return true;
    }

    bool execute(const Plan& plan, const Step& step, std::uint64_t offset, std::uint64_t elements) {
        auto* outgoing = sends(step.kind) ? &channels_[{plan.rank, step.send_to, step.send_channel}] : nullptr;
        if (outgoing != nullptr && outgoing->size() == channel_depth) return false;
        std::vector<double> result;
        if (receives(step.kind)) {
            auto& incoming = channels_[{step.receive_from, plan.rank, step.receive_channel}];
            if (incoming.empty()) return false;
            result = std::move(incoming.front());
            incoming.pop_front();
            if (result.size() != elements)
                problem_ = fmt::format("rank {} got {} elements for {}", plan.rank, result.size(), elements);
            result.resize(elements);
        }
        if (reads_source(step.kind)) add(result, address(plan, step.source, offset), elements);
        for (const Chunk& operand : plan.operands_of(step)) add(result, address(plan, operand, offset), elements);
        if (step.completes && options_.average)
            for (double& value : result) value /= static_cast<double>(plan.rank_count);
        if (writes_destination(step.kind)) std::ranges::copy(result, address(plan, step.destination, offset));
        if (outgoing != nullptr) outgoing->push_back(std::move(result));
        return true;
    }

    double* address(const Plan& plan, const Chunk& chunk, std::uint64_t offset) {
        RankMemory& memory = memories_[static_cast<std::size_t>(plan.rank)];
        return memory.buffers[static_cast<std::size_t>(chunk.buffer)] + range(plan, chunk).first + offset;
    }

    static void add(std::vector<double>& result, const double* values, std::uint64_t elements) {
        if (result.empty())
            result.assign(values, values + elements);
        else
            for (std::uint64_t i = 0; i < elements; i++) result[i] += values[i];
    }

    double expected(const Plan& plan, std::uint64_t element) const {
        const std::uint64_t count = options_.count, block = element / count, within = element % count;
        const std::uint64_t mine = static_cast<std::uint64_t>(plan.rank) * count + within;
        const auto sum = [&](std::uint64_t of) {
            double total = 0;
            for (Rank rank = 0; rank < plan.rank_count; rank++) total += contribution(rank, of);
            return options_.average ? total / static_cast<double>(plan.rank_count) : total;
        };
        switch (plan.collective) {
            case Collective::broadcast:
                return contribution(plan.root, element);
            case Collective::reduce_scatter:
                return sum(mine);
            case Collective::all_gather:
                return contribution(static_cast<Rank>(block), within);
            case Collective::all_to_all:
                return contribution(static_cast<Rank>(block), mine);
            default:
                return sum(element);
        }
    }

    std::string compare() {
        for (const auto& [route, messages] : channels_)
            if (!messages.empty()) return "messages are left over";
        for (const Plan& plan : plans_)
            for (std::uint64_t i = 0; i < plan.output_blocks * options_.count; i++) {
                const double found = memories_[static_cast<std::size_t>(plan.rank)].buffers[1][i];
                if (found != expected(plan, i))
                    return fmt::format("rank {} has {} in output element {}, instead of {}", plan.rank, found, i,
                                       expected(plan, i));
            }
        return {};
    }

    std::span<const Plan> plans_;
    RunOptions options_;
    std::vector<RankMemory> memories_;
    std::vector<std::vector<LaneState>> lanes_;
    std::map<Route, std::deque<std::vector<double>>> channels_;
    std::string problem_;
};

}  // namespace

std::string run_and_compare(std::span<const Plan> plans, const RunOptions& options) {
    return Runner{plans, options}.run();
}

}  // namespace tenon::interchange_test
