// The module libtenon_rdma.so: brings the network "rdma" to the library, which itself links nothing of libibverbs.
#include "base/module_log.hpp"
#include "tenon/plugin/module.hpp"
#include "transports/rdma/rdma_network.hpp"

namespace {

using namespace tenon::rdma;

constexpr tenon::NetworkRow networks[] = {
    {.name = "rdma",
     .summary = "RDMA by libibverbs (InfiniBand, RoCE); messages are written into the peer's slots by the device",
     .obstacle = [] { return obstacle(libibverbs()); },
     .make = [](tenon::NetworkFacts facts) { return RdmaNetwork::make(std::move(facts), libibverbs()); },
     .beats_sockets = [] { return usable_fabrics(libibverbs()); }}};

}  // namespace

extern "C" const TenonPluginModule tenonPlugin = {
    TENON_PLUGIN_VERSION, "rdma", TENON_BUILD_TAG, nullptr, 0, networks, std::size(networks),
    tenon::log_through};
