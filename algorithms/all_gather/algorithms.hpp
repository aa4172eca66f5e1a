// How each all_gather algorithm makes its plan; its prose is at the head of its file, its row in manifest.cpp.
#pragma once

#include "tenon/plugin/plan_builder.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

Result<Plan> direct_all_gather(const Request& request, const Topology& topology);
Result<Plan> ring_all_gather(const Request& request, const Topology& topology);
Result<Plan> bruck_all_gather(const Request& request, const Topology& topology);
Result<Plan> recursive_doubling_all_gather(const Request& request, const Topology& topology);
Result<Plan> nhr_all_gather(const Request& request, const Topology& topology);
Result<Plan> hierarchical_all_gather(const Request& request, const Topology& topology);
Result<Plan> hierarchical_bruck_all_gather(const Request& request, const Topology& topology);

}  // namespace tenon
