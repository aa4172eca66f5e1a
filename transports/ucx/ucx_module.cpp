// The module libtenon_ucx.so: brings the network "ucx" to the library, which itself links nothing of UCX.
#include "base/module_log.hpp"
#include "tenon/plugin/module.hpp"
#include "transports/ucx/ucx_network.hpp"

namespace {

std::string obstacle() {
    unsigned major = 0, minor = 0, patch = 0;
    ucp_get_version(&major, &minor, &patch);
    const std::string too_old = tenon::ucx::obstacle_of(major, minor);
    return too_old.empty() ? tenon::ucx::pinning_obstacle() : too_old;
}

constexpr tenon::NetworkRow networks[] = {
    {.name = "ucx",
     .summary = "what UCX finds (RDMA, TCP and others); large messages go from buffer to buffer",
     .obstacle = obstacle,
     .make = tenon::ucx::UcxNetwork::make}};

}  // namespace

extern "C" const TenonPluginModule tenonPlugin = {
    TENON_PLUGIN_VERSION, "ucx", TENON_BUILD_TAG, nullptr, 0, networks, std::size(networks),
    tenon::log_through};
