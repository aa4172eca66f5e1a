#include "bootstrap/interfaces.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/values.hpp"

namespace tenon::bootstrap {
namespace {

bool is_virtual(std::string_view name) {
    constexpr std::array<std::string_view, 9> prefixes{"docker", "br-",     "virbr", "veth", "cni",
                                                       "podman", "flannel", "lxc",   "vnet"};
    return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

bool is_link_local(const os::InternetAddress& address) {
    return !address.is_ipv4() && address.host[0] == 0xfe && (address.host[1] & 0xc0) == 0x80;
}

// The lower, the likelier others can be reached over it.
int rank_of(const os::NetworkInterface& interface) {
    return 4 * interface.is_loopback + 2 * is_virtual(interface.name) + is_link_local(interface.address);
}

struct Filter {
    bool excludes = false, is_exact = false;
    std::vector<std::string_view> names;

    explicit Filter(std::string_view text) {
        if ((excludes = text.starts_with('^'))) text.remove_prefix(1);
        if ((is_exact = text.starts_with('='))) text.remove_prefix(1);
        names = split(text, ',');
    }
    bool admits(std::string_view name) const {
        const bool is_named = std::ranges::any_of(names, [&](std::string_view wanted) {
            return !wanted.empty() && (is_exact ? name == wanted : name.starts_with(wanted));
        });
        return is_named != excludes;
    }
};

std::string names_of(const std::vector<os::NetworkInterface>& all) {
    std::vector<std::string> texts;
    for (const auto& interface : all)
        texts.push_back(fmt::format("{} ({})", interface.name, interface.address.host_text()));
    return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

constexpr os::InternetAddress everywhere_ipv6{.known = 1};
constexpr os::InternetAddress everywhere_ipv4{.host = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, .known = 1};

}  // namespace

Result<std::optional<os::NetworkInterface>> choose_interface(const std::vector<os::NetworkInterface>& all,
                                                             std::string_view wanted) {
    std::vector<os::NetworkInterface> eligible;
    const Filter filter{wanted};
    std::ranges::copy_if(all, std::back_inserter(eligible), [&](const os::NetworkInterface& interface) {
        return wanted.empty() || filter.admits(interface.name);
    });
    if (eligible.empty() && !wanted.empty())
        return fail(Status::invalid_argument, fmt::format("TENON_SOCKET_INTERFACE={} leaves no network interface of "
                                                          "those that are up here: {}",
                                                          wanted, names_of(all)));
    if (eligible.empty()) return std::nullopt;
    return *std::ranges::min_element(eligible, {}, rank_of);
}

Result<std::optional<os::NetworkInterface>> own_interface(std::string_view wanted) {
    const auto all = os::network_interfaces();
    if (!all) return std::unexpected(all.error());
    return choose_interface(*all, wanted);
}

HostNetwork network_of(const os::InternetAddress& address) {
    HostNetwork network{.address = address.with_port(0)};
    const auto interfaces = os::network_interfaces();
    if (!interfaces) return network;
    const auto at = std::ranges::find_if(*interfaces, [&](const auto& i) { return i.address.same_host(address); });
    if (at == interfaces->end()) return network;
    network.interface = at->name;
    network.mtu = static_cast<std::uint32_t>(std::max(at->mtu, 0));
    network.speed_mbps = static_cast<std::uint32_t>(std::max(at->speed_mbps, 0));
    return network;
}

bool is_everywhere(const os::InternetAddress& address) {
    return address.valid() && (address.same_host(everywhere_ipv6) || address.same_host(everywhere_ipv4));
}

bool is_loopback(const os::InternetAddress& address) {
    constexpr std::array<std::uint8_t, 16> ipv6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    return address.is_ipv4() ? address.host[12] == 127 : address.host == ipv6;
}

// A system without IPv6 has IPv4 alone.
Result<std::optional<os::TcpListener>> listen_everywhere(std::uint16_t port) {
    auto both = os::TcpListener::listen(everywhere_ipv6.with_port(port));
    return both ? std::move(both) : os::TcpListener::listen(everywhere_ipv4.with_port(port));
}

}  // namespace tenon::bootstrap
