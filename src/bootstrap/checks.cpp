#include "bootstrap/checks.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "bootstrap/interfaces.hpp"
#include "bootstrap/roll_call.hpp"
#include "bootstrap/wire.hpp"
#include "config/values.hpp"

namespace tenon::bootstrap {
namespace {

// No variable has such a name. The line is shorter than what the wire takes of all lines together.
constexpr std::string_view refused_network = "network not taken";
constexpr std::size_t refusal_bytes_limit = 400;
static_assert(refused_network.size() + refusal_bytes_limit + 2 < note_bytes_limit);

using Settings = std::map<std::string, std::string, std::less<>>;

// What ranks of one text have set. Of a text that the wire has cut, what is missing is not known.
struct Preferences {
    Settings settings{};
    bool is_whole = true;
};

// Of "NAME=value" lines. A line that the wire has cut is left out.
Preferences read_preferences(std::string_view lines) {
    const bool is_cut = lines.size() >= note_bytes_limit || (!lines.empty() && !lines.ends_with('\n'));
    Settings settings;
    for (std::size_t end = lines.find('\n'); end != lines.npos; end = lines.find('\n')) {
        const std::string_view line = lines.substr(0, end);
        const std::size_t is = line.find('=');
        if (is != line.npos) settings.emplace(line.substr(0, is), line.substr(is + 1));
        lines.remove_prefix(end + 1);
    }
    return {std::move(settings), !is_cut};
}

std::string name_hosts(const std::vector<std::string>& names) {
    constexpr std::size_t most_named = 8;
    const bool is_long = names.size() > most_named;
    const auto end = is_long ? names.begin() + most_named : names.end();
    return fmt::format("{} {}{}", names.size() == 1 ? "host" : "hosts", fmt::join(names.begin(), end, ", "),
                       is_long ? fmt::format(" and {} more", names.size() - most_named) : "");
}

const std::string& host_of(const Meeting& meeting, Rank rank) {
    return meeting.hosts[static_cast<std::size_t>(meeting.ranks[static_cast<std::size_t>(rank)].host)];
}

// "rank 3 (host1)", "ranks 0 and 2 (host0 ...)": where the first of them is, if there are several hosts.
std::string place_ranks(const Meeting& meeting, const std::vector<Rank>& ranks) {
    if (meeting.hosts.size() < 2) return name_ranks(ranks);
    const std::string& first = host_of(meeting, ranks[0]);
    const bool is_one = std::ranges::all_of(ranks, [&](Rank rank) { return host_of(meeting, rank) == first; });
    return fmt::format("{} ({}{})", name_ranks(ranks), first, is_one ? "" : " ...");
}

std::string in_words(const std::string& value) { return value.empty() ? "not set" : value; }

// By the variable's value, the ranks that have it; of one that is at its default, the empty text.
using RanksByValue = std::map<std::string, std::vector<Rank>>;

// What most ranks have is taken to be meant; who has something else is named.
std::string difference(const Meeting& meeting, std::string_view variable, const RanksByValue& all) {
    const auto usual = std::ranges::max_element(
        all, [](const auto& one, const auto& other) { return one.second.size() < other.second.size(); });
    std::vector<std::string> others;
    for (const auto& value : all)
        if (value.first != usual->first)
            others.push_back(fmt::format("{} on {}", in_words(value.first), place_ranks(meeting, value.second)));
    return fmt::format("{} differs between ranks: it is {}, but {} on the other {}; set it alike on all ranks, unless "
                       "that is meant",
                       variable, fmt::join(others, ", "), in_words(usual->first), usual->second.size());
}

void find_settings_that_differ(const Meeting& meeting, std::vector<std::string>& found) {
    std::map<std::uint64_t, Preferences> by_digest;
    std::set<std::string> variables;
    for (const auto& [digest, lines] : meeting.preferences) {
        by_digest[digest] = read_preferences(lines);
        for (const auto& setting : by_digest[digest].settings)
            if (setting.first != refused_network) variables.insert(setting.first);
    }
    for (const std::string& variable : variables) {
        RanksByValue all;
        for (const Introduction& who : meeting.ranks) {
            const auto preferences = by_digest.find(who.preferences);
            if (preferences == by_digest.end()) continue;
            const auto& [settings, is_whole] = preferences->second;
            const auto at = settings.find(variable);
            if (at != settings.end()) all[at->second].push_back(who.rank);
            else if (is_whole) all[""].push_back(who.rank);
        }
        if (all.size() > 1) found.push_back(difference(meeting, variable, all));
    }
}

void find_networks_that_are_refused(const Meeting& meeting, std::vector<std::string>& found) {
    RanksByValue all;
    for (const Introduction& who : meeting.ranks) {
        const auto lines = meeting.preferences.find(who.preferences);
        if (lines == meeting.preferences.end()) continue;
        const Settings settings = read_preferences(lines->second).settings;
        if (const auto at = settings.find(refused_network); at != settings.end()) all[at->second].push_back(who.rank);
    }
    for (const auto& [why, ranks] : all)
        found.push_back(refused_network_in_words(fmt::format("on {}", place_ranks(meeting, ranks)), why));
}

// Hosts by a number of theirs; where it is unknown they are left out.
std::map<std::uint32_t, std::vector<std::size_t>> hosts_by(const Meeting& meeting, std::uint32_t HostNetwork::*what) {
    std::map<std::uint32_t, std::vector<std::size_t>> hosts;
    for (std::size_t host = 0; host < meeting.networks.size(); host++)
        if (meeting.networks[host].*what != 0) hosts[meeting.networks[host].*what].push_back(host);
    return hosts;
}

// "9000 on hosts a, b (eth0)"
std::string value_on(const Meeting& meeting, const std::pair<const std::uint32_t, std::vector<std::size_t>>& value) {
    std::vector<std::string> names;
    for (const std::size_t host : value.second) names.push_back(meeting.hosts[host]);
    return fmt::format("{} on {} ({})", value.first, name_hosts(names), meeting.networks[value.second[0]].interface);
}

void find_networks_that_differ(const Meeting& meeting, std::vector<std::string>& found) {
    const auto by_mtu = hosts_by(meeting, &HostNetwork::mtu);
    if (by_mtu.size() > 1)
        found.push_back(
            fmt::format("the MTU differs between hosts: it is {}, but {}; give all interfaces one (ip link set dev "
                        "NAME mtu BYTES), or choose others (TENON_SOCKET_INTERFACE)",
                        value_on(meeting, *by_mtu.begin()), value_on(meeting, *by_mtu.rbegin())));
    const auto by_speed = hosts_by(meeting, &HostNetwork::speed_mbps);
    if (by_speed.size() > 1)
        found.push_back(
            fmt::format("the speed in Mbit/s differs between hosts: it is {}, but {}; see that each uses the interface "
                        "that is meant (TENON_SOCKET_INTERFACE), and that its link came up at full speed",
                        value_on(meeting, *by_speed.begin()), value_on(meeting, *by_speed.rbegin())));
}

// Bridges that every host has (docker0 is 172.17.0.1 everywhere) lead to the host itself. Hosts that are only made out
// of one (TENON_HOST_ID) share their addresses rightly.
void find_addresses_that_are_shared(const Meeting& meeting, std::vector<std::string>& found) {
    const auto machine = [&](std::size_t host) {
        return meeting.hosts[host].substr(0, meeting.hosts[host].find('/'));
    };
    std::map<std::string, std::size_t> seen;
    for (std::size_t host = 0; host < meeting.networks.size(); host++) {
        const HostNetwork& network = meeting.networks[host];
        if (!network.address.valid() || is_loopback(network.address)) continue;
        const auto [at, is_new] = seen.emplace(network.address.host_text(), host);
        if (is_new || machine(at->second) == machine(host)) continue;
        found.push_back(fmt::format("hosts {} and {} both say that they are reached at {} ({}): one of them cannot be; "
                                    "choose the interface that joins them (TENON_SOCKET_INTERFACE)",
                                    meeting.hosts[at->second], meeting.hosts[host], at->first, network.interface));
        return;
    }
}

}  // namespace

std::vector<std::string> networks_in_words(const Meeting& meeting) {
    std::map<std::string, std::vector<std::string>> hosts;
    for (std::size_t host = 0; host < meeting.networks.size(); host++) {
        const HostNetwork& network = meeting.networks[host];
        if (!network.address.valid()) continue;
        const std::string speed =
            network.speed_mbps == 0 ? "an unknown speed" : fmt::format("{} Mbit/s", network.speed_mbps);
        hosts[fmt::format("{}, MTU {}, {}", network.interface.empty() ? "no interface of a name" : network.interface,
                          network.mtu, speed)]
            .push_back(fmt::format("{} ({})", meeting.hosts[host], network.address.host_text()));
    }
    std::vector<std::string> lines;
    for (const auto& [over, names] : hosts)
        lines.push_back(fmt::format("{} {} over {}", name_hosts(names), names.size() == 1 ? "talks" : "talk", over));
    return lines;
}

std::string line_of_refused_network(std::string_view why) {
    if (why.empty()) return {};
    std::string line = fmt::format("{}={}", refused_network, why.substr(0, refusal_bytes_limit));
    std::ranges::replace(line, '\n', ' ');
    return line + '\n';
}

std::string refused_network_in_words(std::string_view who, std::string_view why) {
    return fmt::format("there is hardware for a quicker network {}, which is not used: {}", who, why);
}

std::vector<std::string> findings(const Meeting& meeting) {
    std::vector<std::string> found;
    find_settings_that_differ(meeting, found);
    if (meeting.hosts.size() < 2) return found;
    find_networks_that_are_refused(meeting, found);
    find_networks_that_differ(meeting, found);
    find_addresses_that_are_shared(meeting, found);
    return found;
}

}  // namespace tenon::bootstrap
