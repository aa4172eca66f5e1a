// How each reduce_scatter algorithm makes its plan; its prose is at the head of its file, its row in manifest.cpp.
#pragma once

#include "tenon/plugin/plan_builder.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

Result<Plan> direct_reduce_scatter(const Request& request, const Topology& topology);
Result<Plan> ring_reduce_scatter(const Request& request, const Topology& topology);
Result<Plan> recursive_halving_reduce_scatter(const Request& request, const Topology& topology);
Result<Plan> nhr_reduce_scatter(const Request& request, const Topology& topology);
Result<Plan> circulant_reduce_scatter(const Request& request, const Topology& topology);
Result<Plan> hierarchical_reduce_scatter(const Request& request, const Topology& topology);
Result<Plan> hierarchical_circulant_reduce_scatter(const Request& request, const Topology& topology);

}  // namespace tenon
