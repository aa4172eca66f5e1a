// How much a plan moves between ranks, by the level of the groups that it crosses: exact, from the plans alone.
#pragma once

#include <span>
#include <string>

#include "tenon/plugin/plan.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

// A line for each level, innermost first; empty where the topology has none. A level's bytes are those between ranks of
// one of its groups that are in different groups inside; "most" are those that one of these sends or receives.
std::string payload_in_words(std::span<const Plan> plans, const Request& request, const Topology& topology);

}  // namespace tenon
