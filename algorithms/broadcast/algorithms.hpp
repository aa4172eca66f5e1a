// How each broadcast algorithm makes its plan; its prose is at the head of its file, its row in manifest.cpp.
#pragma once

#include "tenon/plugin/plan_builder.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

Result<Plan> direct_broadcast(const Request& request, const Topology& topology);
Result<Plan> split_broadcast(const Request& request, const Topology& topology);
Result<Plan> binomial_broadcast(const Request& request, const Topology& topology);
Result<Plan> chain_broadcast(const Request& request, const Topology& topology);
Result<Plan> scatter_all_gather_broadcast(const Request& request, const Topology& topology);
Result<Plan> hierarchical_broadcast(const Request& request, const Topology& topology);
Result<Plan> hierarchical_binomial_broadcast(const Request& request, const Topology& topology);

}  // namespace tenon
