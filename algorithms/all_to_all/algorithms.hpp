// How each all_to_all algorithm makes its plan; its prose is at the head of its file, its row in manifest.cpp.
#pragma once

#include "tenon/plugin/plan_builder.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

Result<Plan> direct_all_to_all(const Request& request, const Topology& topology);
Result<Plan> pairwise_all_to_all(const Request& request, const Topology& topology);
Result<Plan> bruck_all_to_all(const Request& request, const Topology& topology);
Result<Plan> hierarchical_all_to_all(const Request& request, const Topology& topology);

}  // namespace tenon
