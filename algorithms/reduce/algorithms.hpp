// How each reduce algorithm makes its plan; its prose is at the head of its file, its row in manifest.cpp.
#pragma once

#include "tenon/plugin/plan_builder.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

Result<Plan> direct_reduce(const Request& request, const Topology& topology);
Result<Plan> two_shot_reduce(const Request& request, const Topology& topology);
Result<Plan> binomial_reduce(const Request& request, const Topology& topology);
Result<Plan> chain_reduce(const Request& request, const Topology& topology);
Result<Plan> hierarchical_reduce(const Request& request, const Topology& topology);
Result<Plan> hierarchical_binomial_reduce(const Request& request, const Topology& topology);

}  // namespace tenon
