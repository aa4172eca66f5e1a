// Where the devices of a communicator's ranks are, by what the ranks tell each other, and how they are joined: the
// Topology by which algorithms on devices are chosen. The same on every rank.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "communicator/device_stream.hpp"
#include "device_execution/device_links.hpp"
#include "plan/cost.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

struct DeviceTopology {
    Topology topology;                      // levels: ranks of one device, of one package, server, supernode, ...
    std::uint32_t independent_streams = 0;  // the least of any device
    std::uint32_t notify_limit = 0;
    bool spans_servers = false;             // memory must be shared further than within one

    // By all ranks together; `hosts` has the number of each rank's host. Also makes the device reach the others'. An
    // error names two ranks whose devices do not reach each other.
    static Result<DeviceTopology> find(const OpenDevice& device, Rank rank, std::span<const std::int32_t> hosts,
                                       const DeviceIntroductions& introduce);
};

// What a task on a stream costs, and memory on a device; what links cost is said by the topology.
CostParameters device_costs();

}  // namespace tenon
