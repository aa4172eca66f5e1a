#include "plan/boards.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace tenon {
namespace {

// No algorithm's own messages use it.
constexpr Channel boards_instead = 6;

// Starting behind this rank, so that not all send to one at the same time.
void send_to_each(Lane& lane, const Step& published, const Plan& plan, const Chunk& source) {
    for (Rank distance = 1; distance < plan.rank_count; distance++)
        lane.steps.push_back({.kind = StepKind::send,
                              .source_stable = published.source_stable,
                              .answered = published.answered,
                              .send_channel = boards_instead,
                              .send_to = (plan.rank + distance) % plan.rank_count,
                              .source = source});
}

void add_without_board(Lane& lane, Step step, const Plan& plan) {
    if (step.receive_channel == board_channel) step.receive_channel = boards_instead;
    if (step.send_to != everyone) {
        lane.steps.push_back(step);
        return;
    }
    const std::size_t first = lane.steps.size();
    const bool stores = step.kind != StepKind::send;
    if (stores) {
        TENON_ASSERT(sends(step.kind) && writes_destination(step.kind),
                     "what is published is either sent as it lies or stored as well");
        lane.steps.push_back(step);
        Step& stored = lane.steps.back();
        stored.kind = without_sending(step.kind);
        stored.send_to = no_rank;
        stored.send_channel = 0;
        stored.source_stable = stored.answered = false;
    }
    send_to_each(lane, step, plan, stores ? step.destination : step.source);
    if (stores || lane.steps.size() == first) return;
    lane.steps[first].first_dependency = step.first_dependency;
    lane.steps[first].dependency_count = step.dependency_count;
}

bool uses_boards(const Plan& plan) {
    return std::ranges::any_of(plan.lanes, [](const Lane& lane) {
        return std::ranges::any_of(lane.steps, [](const Step& step) {
            return step.send_to == everyone || step.receive_channel == board_channel;
        });
    });
}

}  // namespace

Plan without_boards(Plan plan) {
    if (!uses_boards(plan)) return plan;
    Plan made = plan;
    std::vector<std::vector<std::uint32_t>> last(plan.lanes.size());  // of what each step has become
    for (std::size_t l = 0; l < plan.lanes.size(); l++) {
        made.lanes[l].steps.clear();
        for (const Step& step : plan.lanes[l].steps) {
            add_without_board(made.lanes[l], step, plan);
            last[l].push_back(static_cast<std::uint32_t>(made.lanes[l].steps.size()) - 1);
        }
    }
    for (StepRef& earlier : made.dependencies) earlier.step = last[earlier.lane][earlier.step];
    return made;
}

}  // namespace tenon
