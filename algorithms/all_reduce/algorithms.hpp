// How each all_reduce algorithm makes its plan; its prose is at the head of its file, its row in manifest.cpp.
#pragma once

#include "tenon/plugin/plan_builder.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

Result<Plan> one_shot_all_reduce(const Request& request, const Topology& topology);
Result<Plan> two_shot_all_reduce(const Request& request, const Topology& topology);
Result<Plan> recursive_doubling_all_reduce(const Request& request, const Topology& topology);
Result<Plan> rabenseifner_all_reduce(const Request& request, const Topology& topology);
Result<Plan> ring_all_reduce(const Request& request, const Topology& topology);
Result<Plan> ring_direct_all_reduce(const Request& request, const Topology& topology);
Result<Plan> double_binary_tree_all_reduce(const Request& request, const Topology& topology);
Result<Plan> nhr_all_reduce(const Request& request, const Topology& topology);
Result<Plan> circulant_all_reduce(const Request& request, const Topology& topology);
Result<Plan> hierarchical_all_reduce(const Request& request, const Topology& topology);
Result<Plan> hierarchical_doubling_all_reduce(const Request& request, const Topology& topology);
Result<Plan> hierarchical_circulant_all_reduce(const Request& request, const Topology& topology);

}  // namespace tenon
