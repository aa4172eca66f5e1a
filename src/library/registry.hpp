// The composition root's list of what there is: the one place that names concrete algorithms and transports.
#pragma once

#include <span>
#include <vector>

#include "tenon/plugin/algorithm.hpp"

namespace tenon {

// Every built-in algorithm, in the order of the manifests; loaded plugins follow.
std::span<const Algorithm> algorithms();
std::vector<const Algorithm*> algorithms_of(Collective collective);
const Algorithm* find_algorithm(Collective collective, std::string_view name);

// A transport as tools show it; `name` is what a connection says of itself.
struct TransportRow {
    std::string_view name, joins, summary;
};
std::span<const TransportRow> transports();

}  // namespace tenon
