// The words of include/tenon/plugin/device.hpp.
#include <array>

#include "base/assert.hpp"
#include "tenon/plugin/device.hpp"

namespace tenon::device {

std::string_view name_of(LinkClass link_class) {
    static constexpr std::array<std::string_view, 6> names{"same", "package", "server", "supernode", "host", "none"};
    const auto at = static_cast<std::size_t>(link_class);
    TENON_ASSERT(at < names.size(), "a link class is one of LinkClass's values");
    return names[at];
}

LinkClass link_between(const DevicePlace& one, const DevicePlace& other) {
    const bool is_known = one.supernode >= 0 && one.server >= 0 && other.supernode >= 0 && other.server >= 0;
    if (!is_known || one.supernode != other.supernode) return LinkClass::none;
    if (one.server != other.server) return LinkClass::supernode;
    return one.chip >= 0 && one.chip == other.chip ? LinkClass::package : LinkClass::server;
}

}  // namespace tenon::device
