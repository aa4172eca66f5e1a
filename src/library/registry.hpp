// The composition root's list of what there is: the one place that names concrete algorithms and transports.
#pragma once

#include <span>
#include <vector>

#include "bootstrap/meeting.hpp"
#include "tenon/plugin/algorithm.hpp"
#include "tenon/plugin/network.hpp"

namespace tenon {

// Every built-in algorithm, in the order of the manifests; loaded plugins follow.
std::span<const Algorithm> algorithms();
std::vector<const Algorithm*> algorithms_of(Collective collective);
const Algorithm* find_algorithm(Collective collective, std::string_view name);

// A copy, since others may load plugins meanwhile. Networks that come with the library as modules are loaded when they
// are asked for.
Result<NetworkRow> network_named(std::string_view name);
// What joins two ranks whose processes have these (networks_here): the best that both have; otherwise tcp.
std::string_view best_network(NetworkSet own, NetworkSet peer);

// A transport as tools show it; `name` is what a connection says of itself.
struct TransportRow {
    std::string_view name, joins, summary;
};
std::span<const TransportRow> transports();

}  // namespace tenon
