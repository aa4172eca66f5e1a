// Topologies for the tests of prices: groups inside groups, with links of known speed.
#pragma once

#include <vector>

#include "plan/cost.hpp"

namespace tenon::testing {

struct TestLevel {
    Rank parts;  // of each group, each a group of the level before
    LevelLink link{};
    std::string name = "group";
};

// Ranks numbered group by group; the innermost level first. `hosts` are groups of the level before the last.
inline Topology nested(const std::vector<TestLevel>& levels) {
    Topology made{.has_boards = levels.size() == 1, .slot_bytes = 64 << 10};
    for (const TestLevel& level : levels) made.rank_count *= level.parts;
    Rank group = 1;
    for (const TestLevel& level : levels) {
        group *= level.parts;
        Level added{level.name, {}, level.link};
        for (Rank r = 0; r < made.rank_count; r++) added.group_of.push_back(r / group);
        made.levels.push_back(std::move(added));
        if (&level != &levels.back()) made.hosts = made.rank_count / group;
    }
    made.cores = made.rank_count;
    return made;
}

// Nothing costs anything but the links.
inline CostParameters links_only() {
    CostParameters all;
    all.memory = all.network = {};
    all.step_ns = all.copy_bytes_per_s = all.reduce_bytes_per_s = 0;
    return all;
}

}  // namespace tenon::testing
