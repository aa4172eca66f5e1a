// The map of the machine that this runs on.
//
// libhwloc says which processors, NUMA nodes, devices and network cards there are and how PCI joins them; the system
// (/sys) says how fast a network card's wire is and which RDMA device belongs to it. What cannot be found out is left
// out: a container may see little.
#pragma once

#include <string>

#include "topology/map.hpp"

namespace tenon {

Result<Map> map_of_this_machine();

namespace topology_machine {

// What the system knows of network devices, under another root for tests ("/sys" on a machine).
Result<Map> with_network_facts(const Map& machine, const std::string& system_root);

}  // namespace topology_machine
}  // namespace tenon
