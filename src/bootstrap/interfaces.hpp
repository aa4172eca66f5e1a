// Which of a host's addresses others are told: TENON_SOCKET_INTERFACE, or the one that most likely leads to them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bootstrap/meeting.hpp"
#include "os/internet.hpp"

namespace tenon::bootstrap {

// `wanted`: names that interfaces begin with ("eth,ib"), or are ("=eth0"), or, after ^, must not ("^docker,lo").
// Without it the first that is neither virtual nor loopback nor only link-local, where there is such a one; nothing
// when there is no interface at all. An error lists those that exist.
Result<std::optional<os::NetworkInterface>> choose_interface(const std::vector<os::NetworkInterface>& all,
                                                             std::string_view wanted);
Result<std::optional<os::NetworkInterface>> own_interface(std::string_view wanted);

// All addresses of this host, with any port that is free where `port` is 0; nothing when the port is taken.
Result<std::optional<os::TcpListener>> listen_everywhere(std::uint16_t port);
// What is known of the interface that has this address of this host.
HostNetwork network_of(const os::InternetAddress& address);
bool is_everywhere(const os::InternetAddress& address);
bool is_loopback(const os::InternetAddress& address);

}  // namespace tenon::bootstrap
