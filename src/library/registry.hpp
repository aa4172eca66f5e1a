// The composition root's list of what there is: the one place that names concrete algorithms and transports.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bootstrap/meeting.hpp"
#include "tenon/plugin/algorithm.hpp"
#include "tenon/plugin/network.hpp"

namespace tenon {

// Every built-in algorithm, in the order of the manifests; loaded plugins follow.
std::span<const Algorithm> algorithms();
std::vector<const Algorithm*> algorithms_of(Collective collective);
const Algorithm* find_algorithm(Collective collective, std::string_view name);
// The same of a name that a user gave; an error lists those that there are.
Result<const Algorithm*> algorithm_named(Collective collective, std::string_view name);

// A copy, since others may load plugins meanwhile. Networks that come with the library as modules are loaded when they
// are asked for. An error says why there is none, for lines that name it themselves.
Result<NetworkRow> network_named(std::string_view name);
// The same, or why it cannot be used on this machine.
Result<NetworkRow> usable_network(std::string_view name);
// What joins two ranks whose processes have these (networks_here): the best that both have; otherwise tcp.
std::string_view best_network(NetworkSet own, NetworkSet peer);

// A transport as tools show it; `name` is what a connection says of itself.
struct TransportRow {
    std::string_view name, joins, summary;
};
std::span<const TransportRow> transports();

// A network that there is here: built in, of a plugin, or a module beside the library; modules are loaded to ask them.
struct NetworkState {
    std::string name, summary;
    std::string obstacle;  // why it cannot be used on this machine; empty where it can
};
std::vector<NetworkState> networks();

}  // namespace tenon
