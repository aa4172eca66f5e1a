#include "topology/job_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "topology/core_words.hpp"

namespace tenon {
namespace {

constexpr std::size_t most_named_devices = 8;

const JobHost& host_of(std::span<const JobHost> hosts, const JobRank& rank) {
    return hosts[static_cast<std::size_t>(rank.host)];
}

// ---- a host's network cards ---------------------------------------------------------------------------------------

std::optional<PlaceIndex> card_of(const Map& machine, std::string_view device) {
    for (PlaceIndex place{0}; place.value < machine.place_count(); place.value++) {
        const MapPlace& known = machine[place];
        if (known.kind == kinds::nic &&
            (known.name == device || known.fact("interface") == device || known.fact("rdma device") == device))
            return place;
    }
    return std::nullopt;
}

// Whether a link joins the card to a network.
bool is_wire_of(PlaceIndex card, const Link& link, const Map& machine) {
    return (link.from == card || link.to == card) && machine[link.other_end(card)].kind == kinds::network;
}

// A card's wire; null where the map knows of none.
const Link* wire_of(const Map& machine, PlaceIndex card) {
    for (const Link& link : machine.links())
        if (is_wire_of(card, link, machine)) return &link;
    return nullptr;
}

std::uint64_t bytes_per_s_of(const JobHost& host, std::string_view device) {
    if (device == host.interface && host.interface_bytes_per_s != 0) return host.interface_bytes_per_s;
    const auto card = card_of(host.machine, device);
    const Link* wire = card ? wire_of(host.machine, *card) : nullptr;
    return wire == nullptr ? 0 : wire->bytes_per_s_of_all();
}

// ---- pairs --------------------------------------------------------------------------------------------------------

// What a rank says of others, with the rate of all the devices that it names; 0 where that of one is not known.
struct Way {
    const ReachedRanks* said;
    std::uint64_t bytes_per_s;
};

std::vector<Way> ways_of(const JobHost& host, const JobRank& rank) {
    std::vector<Way> ways;
    for (const ReachedRanks& reached : rank.reached) {
        std::uint64_t all = 0;
        bool is_known = true;
        for (const std::string& device : reached.devices) {
            const std::uint64_t one = bytes_per_s_of(host, device);
            all += one;
            is_known = is_known && one != 0;
        }
        ways.push_back({&reached, is_known ? all : 0});
    }
    return ways;
}

const Way& way_to(Rank peer, const std::vector<Way>& ways) {
    const auto next = std::ranges::upper_bound(ways, peer, {}, [](const Way& way) { return way.said->first; });
    return *std::prev(next);
}

std::string joined(const std::set<std::string_view>& devices) {
    std::string text;
    std::size_t named = 0;
    for (const std::string_view device : devices) {
        if (named++ == most_named_devices) return text + ", ...";
        text += fmt::format("{}{}", text.empty() ? "" : ", ", device);
    }
    return text;
}

std::vector<LikePairs> pairs_of(std::span<const JobHost> hosts, std::span<const JobRank> ranks) {
    std::vector<std::vector<Way>> ways;
    for (const JobRank& rank : ranks) ways.push_back(ways_of(host_of(hosts, rank), rank));
    struct Found {
        LikePairs pairs;
        std::set<std::string_view> devices{};
    };
    std::map<std::tuple<bool, std::string, std::uint64_t>, Found> found;
    for (std::size_t one = 0; one < ranks.size(); one++)
        for (std::size_t other = one + 1; other < ranks.size(); other++) {
            const Way& there = way_to(static_cast<Rank>(other), ways[one]);
            const Way& back = way_to(static_cast<Rank>(one), ways[other]);
            const bool is_between = ranks[one].host != ranks[other].host;
            LikePairs pairs{.is_between_servers = is_between,
                            .transport = there.said->transport,
                            .bytes_per_s = is_between ? std::min(there.bytes_per_s, back.bytes_per_s) : 0,
                            .count = 0,
                            .first = static_cast<Rank>(one),
                            .second = static_cast<Rank>(other)};
            if (back.said->transport != pairs.transport) pairs.transport += ", back " + back.said->transport;
            const auto key = std::tuple{is_between, pairs.transport, pairs.bytes_per_s};
            Found& like = found.try_emplace(key, Found{std::move(pairs)}).first->second;
            like.pairs.count++;
            if (!is_between) continue;
            for (const Way* way : {&there, &back})
                like.devices.insert(way->said->devices.begin(), way->said->devices.end());
        }
    std::vector<LikePairs> all;
    for (auto& [key, like] : found) {
        like.pairs.over = joined(like.devices);
        all.push_back(std::move(like.pairs));
    }
    return all;
}

Result<void> check(std::span<const JobHost> hosts, std::span<const JobRank> ranks) {
    const auto rank_count = static_cast<Rank>(ranks.size());
    for (Rank rank = 0; rank < rank_count; rank++) {
        const JobRank& said = ranks[static_cast<std::size_t>(rank)];
        if (said.host < 0 || std::cmp_greater_equal(said.host, hosts.size()))
            return fail(Status::invalid_argument,
                        fmt::format("rank {} is on host {}, but there are {} hosts", rank, said.host, hosts.size()));
        Rank next = 0, reached = 0;
        bool is_in_order = true;
        for (const ReachedRanks& ranks_reached : said.reached) {
            const Rank first = ranks_reached.first, count = ranks_reached.count;
            is_in_order = is_in_order && first >= next && count > 0 && count <= rank_count - first &&
                          (rank < first || rank >= first + count);
            if (!is_in_order) break;
            next = first + count;
            reached += count;
        }
        if (!is_in_order || reached != rank_count - 1)
            return fail(Status::invalid_argument,
                        fmt::format("rank {} does not say, in order, how it reaches each other rank", rank));
    }
    return {};
}

// ---- places -------------------------------------------------------------------------------------------------------

// The innermost place that has all processors that a rank may run on, as far as just one of several places has them.
PlaceIndex place_for(const Map& machine, const os::CoreSet& cores) {
    PlaceIndex place = outermost;
    if (cores.none()) return place;
    while (true) {
        std::vector<PlaceIndex> fitting;
        for (const PlaceIndex child : machine.children_of(place)) {
            const auto words = machine[child].fact(processors_fact);
            const auto processors = words ? cores_in_words(*words) : std::nullopt;
            if (processors && (cores & ~*processors).none()) fitting.push_back(child);
        }
        if (fitting.size() != 1) return place;
        place = fitting.front();
    }
}

class JobMap {
public:
    JobMap(std::span<const JobHost> hosts, std::span<const JobRank> ranks)
        : hosts_(hosts), ranks_(ranks), devices_(hosts.size()), places_(hosts.size()) {
        for (const JobRank& rank : ranks)
            for (const ReachedRanks& reached : rank.reached)
                devices_[static_cast<std::size_t>(rank.host)].insert(reached.devices.begin(), reached.devices.end());
    }

    Result<Map> make() && {
        for (std::size_t host = 0; host < hosts_.size(); host++) add_server(host);
        for (std::size_t host = 0; host < hosts_.size(); host++)
            for (const std::string_view device : devices_[host]) join_network(host, device);
        for (std::size_t rank = 0; rank < ranks_.size(); rank++) add_rank(rank);
        for (LikePairs& pairs : pairs_of(hosts_, ranks_)) builder_.add_pairs(std::move(pairs));
        return std::move(builder_).finish();
    }

private:
    // Hosts in containers may have one name; where TENON_HOST_ID splits a host, its name has a slash.
    std::string server_name(const JobHost& host) {
        std::string name = host.name;
        std::ranges::replace(name, '/', ':');
        const std::size_t times = ++named_[name];
        return times == 1 ? name : fmt::format("{} ({})", name, times);
    }

    // All links of a machine but the wires of cards that lead to other hosts: the cluster's network replaces those.
    std::vector<const Link*> links_inside(std::size_t host) const {
        const Map& machine = hosts_[host].machine;
        std::set<PlaceIndex> cards;
        for (const std::string_view device : devices_[host])
            if (const auto card = card_of(machine, device)) cards.insert(*card);
        std::vector<const Link*> links;
        for (const Link& link : machine.links())
            if (std::ranges::none_of(cards, [&](PlaceIndex card) { return is_wire_of(card, link, machine); }))
                links.push_back(&link);
        return links;
    }

    void add_server(std::size_t host) {
        const Map& machine = hosts_[host].machine;
        const std::vector<const Link*> links = links_inside(host);
        std::set<PlaceIndex> joined;
        for (const Link* link : links) joined.insert({link->from, link->to});
        auto& places = places_[host];
        for (PlaceIndex place{0}; place.value < machine.place_count(); place.value++) {
            const MapPlace& copied = machine[place];
            // A network that nothing is joined to any more goes too.
            if (copied.kind == kinds::network && !joined.contains(place)) {
                places.push_back(outermost);
                continue;
            }
            places.push_back(copied.parent
                                 ? builder_.add_place(places[copied.parent->value], copied.kind, copied.name)
                                 : builder_.add_place(outermost, kinds::server, server_name(hosts_[host])));
            for (const Fact& fact : copied.facts) builder_.set_fact(places.back(), fact.name, fact.value);
        }
        for (const Link* link : links) {
            Link copy = *link;
            copy.from = places[link->from.value];
            copy.to = places[link->to.value];
            builder_.add_link(std::move(copy));
        }
    }

    void join_network(std::size_t host, std::string_view device) {
        const Map& machine = hosts_[host].machine;
        const PlaceIndex server = places_[host].front();
        const auto known = card_of(machine, device);
        const Link* wire = known ? wire_of(machine, *known) : nullptr;
        PlaceIndex card;
        if (known) {
            card = places_[host][known->value];
        } else {
            card = builder_.add_place(server, kinds::nic, device);
            builder_.add_link({.from = card, .to = server, .kind = "virtual"});
        }
        // Of one card there may be several devices.
        if (!joined_.insert(card).second) return;
        const std::string kind = wire != nullptr                     ? wire->kind
                                 : device == hosts_[host].interface ? "ethernet"
                                                                    : "network";
        const auto [network, is_new] = networks_.try_emplace(kind);
        if (is_new) network->second = builder_.add_place(outermost, kinds::network, fmt::format("{} network", kind));
        builder_.add_link({.from = card,
                           .to = network->second,
                           .kind = kind,
                           .bytes_per_s = bytes_per_s_of(hosts_[host], device)});
    }

    void add_rank(std::size_t rank) {
        const auto host = static_cast<std::size_t>(ranks_[rank].host);
        const PlaceIndex holder = places_[host][place_for(hosts_[host].machine, ranks_[rank].cores).value];
        const PlaceIndex process = builder_.add_place(holder, kinds::process, fmt::format("rank{}", rank));
        builder_.set_rank(process, static_cast<Rank>(rank));
        builder_.add_link({.from = process, .to = holder, .kind = "processor"});
    }

    std::span<const JobHost> hosts_;
    std::span<const JobRank> ranks_;
    MapBuilder builder_{kinds::cluster, "job"};
    std::vector<std::set<std::string_view>> devices_;  // by host: those that lead to other hosts
    std::vector<std::vector<PlaceIndex>> places_;      // by host: where its machine's places are in the cluster
    std::map<std::string, std::size_t> named_;
    std::map<std::string, PlaceIndex> networks_;  // by kind of wire
    std::set<PlaceIndex> joined_;
};

}  // namespace

std::vector<std::string> devices_in_words(std::string_view words, std::string_view network) {
    std::vector<std::string> devices;
    const std::string before = fmt::format("{} (", network);
    const std::size_t start = words.find(before);
    if (start == std::string_view::npos) return devices;
    words.remove_prefix(start + before.size());
    words = words.substr(0, words.find(')'));
    while (!words.empty() && devices.size() < most_rank_devices) {
        const std::size_t end = words.find("; ");
        devices.emplace_back(words.substr(0, std::min(end, words.find(','))));
        words = end == std::string_view::npos ? std::string_view{} : words.substr(end + 2);
    }
    return devices;
}

Result<Map> map_of_job(std::span<const JobHost> hosts, std::span<const JobRank> ranks) {
    if (auto ok = check(hosts, ranks); !ok) return std::unexpected(ok.error());
    return JobMap{hosts, ranks}.make();
}

}  // namespace tenon
