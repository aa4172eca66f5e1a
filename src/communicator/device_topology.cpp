#include "communicator/device_topology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "os/process.hpp"

namespace tenon {
namespace {

using device::Link;
using device::LinkClass;

// What a rank tells of its device; plain bytes.
struct Place {
    std::array<char, 40> name{};
    std::array<char, 40> address{};
    device::DeviceIndex index = 0;
    std::uint32_t independent_streams = 0, notify_limit = 0;
    device::DevicePlace place{};
    os::ProcessToken process{};
};

template <std::size_t N>
void put(std::array<char, N>& into, const std::string& text) {
    text.copy(into.data(), N - 1);
}

template <class T>
Result<std::vector<T>> gather(std::span<const T> own, const DeviceIntroductions& introduce) {
    const auto all = introduce(std::as_bytes(own));
    if (!all) return std::unexpected(all.error());
    std::vector<T> gathered(all->size() * own.size());
    for (std::size_t r = 0; r < all->size(); r++)
        std::memcpy(gathered.data() + r * own.size(), (*all)[r].data(), own.size_bytes());
    return gathered;
}

constexpr device::DeviceIndex unseen = UINT32_MAX;

// As this process counts devices, where it sees that one: by its place on the bus, as others may count differently.
device::DeviceIndex index_here(const device::Provider& provider, const Place& peer) {
    if (peer.address[0] == '\0') return peer.index < provider.device_count() ? peer.index : unseen;
    for (device::DeviceIndex i = 0; i < provider.device_count(); i++)
        if (const auto facts = provider.facts(i); facts && facts->address == peer.address.data()) return i;
    return unseen;
}

// Where the runtime does not say: what was measured of an Ascend 910C, per die, one way.
Link with_figures(Link link) {
    struct Figures {
        std::uint64_t bytes_per_second, latency_ns;
    };
    static constexpr std::array<Figures, 6> by_class{{{1'000'000'000'000, 500},
                                                      {210'000'000'000, 200},
                                                      {170'000'000'000, 700},
                                                      {150'000'000'000, 2'100},
                                                      {20'000'000'000, 5'000},
                                                      {0, 0}}};
    const Figures& typical = by_class[static_cast<std::size_t>(link.link_class)];
    if (link.bytes_per_second == 0) link.bytes_per_second = typical.bytes_per_second;
    if (link.latency_ns == 0) link.latency_ns = typical.latency_ns;
    return link;
}

// This rank's link to each other, and what it takes to use it.
Result<std::vector<Link>> own_links(const OpenDevice& own, Rank rank, std::span<const std::int32_t> hosts,
                                    std::span<const Place> places) {
    std::vector<Link> links;
    const auto self = static_cast<std::size_t>(rank);
    for (std::size_t peer = 0; peer < places.size(); peer++) {
        const bool is_here = hosts[peer] == hosts[self];
        const device::DeviceIndex index = is_here ? index_here(*own.provider, places[peer]) : unseen;
        Link link{.link_class = device::link_between(places[self].place, places[peer].place)};
        if (index != unseen) {
            const auto known = own.provider->link(own.device->index(), index);
            if (!known) return std::unexpected(known.error());
            link = *known;
        }
        if (link.link_class == LinkClass::none)
            return fail(Status::device_error,
                        fmt::format("rank {} ({}) and rank {} ({}) do not reach each other's memory{}: make "
                                    "communicators of ranks that do, and join these by one of the host's memory",
                                    rank, places[self].name.data(), peer, places[peer].name.data(),
                                    is_here ? "" : ", being on different servers"));
        if (peer != self && link.link_class == LinkClass::same && places[peer].process == places[self].process &&
            own.device->facts().memory_waits_for_streams)
            return fail(
                Status::invalid_usage,
                fmt::format("ranks {} and {} of one process both use {}, where one that frees memory would wait "
                            "for the other's calls: give each rank a device or a process of its own",
                            std::min(self, peer), std::max(self, peer), places[self].name.data()));
        if (index != unseen && peer != self)
            if (auto reached = own.device->enable_peer(index); !reached) return std::unexpected(reached.error());
        links.push_back(with_figures(link));
    }
    return links;
}

// Ranks that links of this class or nearer ones join, directly or over others.
std::vector<std::int32_t> groups_within(LinkClass farthest, std::span<const Link> links, std::size_t ranks) {
    std::vector<std::size_t> lowest(ranks);
    std::iota(lowest.begin(), lowest.end(), std::size_t{0});
    for (bool changed = true; changed;) {
        changed = false;
        for (std::size_t a = 0; a < ranks; a++)
            for (std::size_t b = 0; b < ranks; b++)
                if (links[a * ranks + b].link_class <= farthest && lowest[b] < lowest[a]) {
                    lowest[a] = lowest[b];
                    changed = true;
                }
    }
    std::vector<std::int32_t> groups(ranks);
    std::int32_t count = 0;
    for (std::size_t r = 0; r < ranks; r++) groups[r] = lowest[r] == r ? count++ : groups[lowest[r]];
    return groups;
}

// How ranks of different parts (`inside`) of a group are joined; the worst of them counts.
LevelLink link_across(const std::vector<std::int32_t>& inside, const std::vector<std::int32_t>& groups,
                      std::span<const Link> links) {
    const std::size_t ranks = groups.size();
    LevelLink across;
    for (std::size_t a = 0; a < ranks; a++)
        for (std::size_t b = 0; b < ranks; b++) {
            if (groups[a] != groups[b] || (!inside.empty() ? inside[a] == inside[b] : a == b)) continue;
            const Link& link = links[a * ranks + b];
            across.latency_ns = std::max(across.latency_ns, link.latency_ns);
            across.rank_bytes_per_s = across.rank_bytes_per_s == 0
                                          ? link.bytes_per_second
                                          : std::min(across.rank_bytes_per_s, link.bytes_per_second);
        }
    const auto most = inside.empty() ? 1 : std::ranges::max(inside, {}, [&](std::int32_t part) {
        return std::ranges::count(inside, part);
    });
    const auto ranks_of_part = inside.empty() ? 1 : std::ranges::count(inside, most);
    across.part_bytes_per_s = across.rank_bytes_per_s * static_cast<std::uint64_t>(ranks_of_part);
    return across;
}

std::vector<Level> levels_of(std::span<const Link> links, std::size_t ranks) {
    static constexpr std::array<std::pair<LinkClass, const char*>, 5> classes{{{LinkClass::same, "device"},
                                                                               {LinkClass::package, "package"},
                                                                               {LinkClass::server, "server"},
                                                                               {LinkClass::supernode, "supernode"},
                                                                               {LinkClass::host, "host"}}};
    std::vector<Level> levels;
    for (const auto& [link_class, name] : classes) {
        auto groups = groups_within(link_class, links, ranks);
        const auto count = static_cast<std::size_t>(std::ranges::max(groups)) + 1;
        const std::vector<std::int32_t> inside = levels.empty() ? std::vector<std::int32_t>{} : levels.back().group_of;
        const std::size_t before =
            levels.empty() ? ranks : static_cast<std::size_t>(std::ranges::max(inside)) + 1;
        if (count == before) continue;
        const LevelLink link = link_across(inside, groups, links);
        levels.push_back({name, std::move(groups), link});
    }
    return levels;
}

}  // namespace

Result<DeviceTopology> DeviceTopology::find(const OpenDevice& device, Rank rank, std::span<const std::int32_t> hosts,
                                            const DeviceIntroductions& introduce) {
    const device::DeviceFacts& facts = device.device->facts();
    Place own{.index = device.device->index(),
              .independent_streams = facts.independent_streams,
              .notify_limit = facts.notify_limit,
              .place = facts.place,
              .process = os::process_token()};
    put(own.name, device.name);
    put(own.address, facts.address);
    const auto places = gather(std::span<const Place>{&own, 1}, introduce);
    if (!places) return std::unexpected(places.error());
    const auto row = own_links(device, rank, hosts, *places);
    if (!row) return std::unexpected(row.error());
    const auto links = gather(std::span<const Link>{*row}, introduce);
    if (!links) return std::unexpected(links.error());
    DeviceTopology found;
    found.topology = {.rank_count = static_cast<Rank>(places->size()),
                      .cores = static_cast<std::int32_t>(places->size()),  // a device is not short of streams
                      .has_boards = false,
                      .levels = levels_of(*links, places->size())};
    found.independent_streams = std::ranges::min(*places, {}, &Place::independent_streams).independent_streams;
    found.notify_limit = std::ranges::min(*places, {}, &Place::notify_limit).notify_limit;
    found.spans_servers = std::ranges::any_of(hosts, [&](std::int32_t host) { return host != hosts.front(); }) ||
                          std::ranges::find(*links, LinkClass::supernode, &Link::link_class) != links->end();
    return found;
}

CostParameters device_costs() {
    // A message is a wait, a copy and a signal at each end, of 2 us each, which a task takes on an Ascend 910C.
    const PathCosts path{.message_ns = 6'000,
                         .message_latency_part = 0,
                         .send_bytes_per_s = 0,
                         .receive_bytes_per_s = 800e9,
                         .latency_ns = 1'000,
                         .link_bytes_per_s = 100e9};
    return {.memory = path, .network = path, .step_ns = 2'000, .copy_bytes_per_s = 800e9, .reduce_bytes_per_s = 500e9};
}

}  // namespace tenon
