// A map of a cluster or a machine in detail: the places that hold one another, and the links that join them.
//
// A *place* is anything that can hold or be joined: a cluster, a supernode, a server, a NUMA node, a switch, a device,
// a die, a network card. Kinds are free text and the depth is not fixed; known_kinds below are those that the project's
// own readers and generators use. A *link* joins two places in both directions. Ranks, where a map has them, are the
// numbers of places, 0 to n - 1 without gaps; the map of a job that ran also says how pairs of them were reached. What
// algorithms see of a map is made by projection.hpp.
//
// A Map is a value: made once by a MapBuilder, which has checked it, and not changed any more. Places are in
// depth-first order, so that those inside a place follow it. Nothing here depends on where a map came from.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon {

struct PlaceIndex {
    std::uint32_t value = 0;
    friend constexpr auto operator<=>(PlaceIndex, PlaceIndex) = default;
};
inline constexpr PlaceIndex outermost{0};

struct LinkIndex {
    std::uint32_t value = 0;
    friend constexpr auto operator<=>(LinkIndex, LinkIndex) = default;
};

struct Fact {
    std::string name, value;
    friend auto operator<=>(const Fact&, const Fact&) = default;
};

struct MapPlace {
    std::string kind;
    std::string name;  // no other place of the same parent has it
    std::optional<PlaceIndex> parent{};
    std::optional<Rank> rank{};
    std::vector<Fact> facts{};  // by name
    friend bool operator==(const MapPlace&, const MapPlace&) = default;

    std::optional<std::string_view> fact(std::string_view fact_name) const;
};

// Figures are those of one of the `count` like links, each way, both ways at once; 0: not known.
struct Link {
    PlaceIndex from{}, to{};
    std::string kind;
    std::uint64_t bytes_per_s = 0;
    std::uint64_t latency_ns = 0;
    std::uint32_t count = 1;
    std::vector<Fact> facts{};  // by name
    friend bool operator==(const Link&, const Link&) = default;

    std::uint64_t bytes_per_s_of_all() const { return bytes_per_s * count; }
    PlaceIndex other_end(PlaceIndex one) const { return one == from ? to : from; }
};

// Pairs of a job's ranks that reach each other alike. A pair counts once, whichever of the two sends.
struct LikePairs {
    bool is_between_servers = false;
    std::string transport;          // "shm", "tcp"
    std::string over{};             // the devices on the way, such as "eth0"; empty: none, or not known
    std::uint64_t bytes_per_s = 0;  // what those of the slower rank allow, each way; 0: not known
    std::uint64_t count = 1;
    Rank first = 0, second = 0;  // one of the pairs
    friend bool operator==(const LikePairs&, const LikePairs&) = default;
};

namespace kinds {
inline constexpr std::string_view cluster = "cluster", supernode = "supernode", server = "server", package = "package",
                                  numa = "numa", pci = "pci", switches = "switch", npu = "npu", device = "device",
                                  die = "die", nic = "nic", core = "core", process = "process", network = "network";
}

// Limits on what a map may be, so that no file makes a reader run away.
inline constexpr std::uint32_t max_places = 1u << 18, max_links = 1u << 20;
inline constexpr std::uint32_t max_place_depth = 48, max_facts = 128;
inline constexpr std::size_t max_name_bytes = 256, max_fact_bytes = 4096;
inline constexpr std::uint64_t max_link_bytes_per_s = 1'000'000'000'000'000;  // 1 PB/s
inline constexpr std::uint64_t max_link_latency_ns = 100'000'000'000;         // 100 s
inline constexpr std::uint32_t max_link_count = 1u << 16;
inline constexpr std::size_t max_like_pairs = 1u << 12;

class Map {
public:
    const MapPlace& operator[](PlaceIndex place) const { return places_[place.value]; }
    std::span<const MapPlace> places() const { return places_; }
    const Link& operator[](LinkIndex link) const { return links_[link.value]; }
    std::span<const Link> links() const { return links_; }

    const std::string& name() const { return places_.front().name; }
    std::uint32_t place_count() const { return static_cast<std::uint32_t>(places_.size()); }
    // The places inside one, with itself first, are those from it up to here.
    PlaceIndex end_of(PlaceIndex place) const { return ends_[place.value]; }
    bool holds(PlaceIndex outer, PlaceIndex inner) const { return outer <= inner && inner < end_of(outer); }
    std::vector<PlaceIndex> children_of(PlaceIndex place) const;
    // "/server0/gpu3"; "/" is the outermost place.
    std::string path_of(PlaceIndex place) const;
    // Every place's path, which asking for each by itself would make slow.
    std::vector<std::string> paths() const;
    // Where each rank is; empty where the map has no ranks.
    std::span<const PlaceIndex> ranks() const { return ranks_; }
    // How the ranks reach each other; empty where nobody has told.
    std::span<const LikePairs> pairs() const { return pairs_; }

    friend bool operator==(const Map& one, const Map& other) {
        return one.places_ == other.places_ && one.links_ == other.links_ && one.pairs_ == other.pairs_;
    }

private:
    friend class MapBuilder;
    Map() = default;

    std::vector<MapPlace> places_;
    std::vector<PlaceIndex> ends_;
    std::vector<Link> links_;
    std::vector<PlaceIndex> ranks_;
    std::vector<LikePairs> pairs_;
};

// Puts a map together in any order in which a parent comes before what it holds. The first thing that is wrong is kept
// and told by problem() and finish(); what is asked afterwards changes nothing, so that callers need not check each
// call. A reader that asks problem() after each element can say which element it was.
//
// The indices that it gives are its own: finish() sorts the places.
class MapBuilder {
public:
    MapBuilder(std::string_view kind, std::string_view name);

    PlaceIndex add_place(PlaceIndex parent, std::string_view kind, std::string_view name);
    void set_rank(PlaceIndex place, Rank rank);
    // Given a second time, the value must be the same.
    void set_fact(PlaceIndex place, std::string_view name, std::string_view value);
    void add_link(Link link);
    void add_pairs(LikePairs pairs);

    const MapPlace& operator[](PlaceIndex place) const { return places_[place.value]; }
    std::uint32_t place_count() const { return static_cast<std::uint32_t>(places_.size()); }
    const std::optional<std::string>& problem() const { return problem_; }
    Result<Map> finish() &&;

private:
    void refuse(std::string why);
    bool check_text(std::string_view what, std::string_view text, std::size_t limit);
    std::string words_for(PlaceIndex place) const;
    void check_ranks();
    void check_pairs();
    std::vector<PlaceIndex> depth_first(std::vector<PlaceIndex>& ends) const;

    std::vector<MapPlace> places_;
    std::vector<std::uint32_t> depths_;
    std::vector<Link> links_;
    std::vector<LikePairs> pairs_;
    std::unordered_map<std::string, PlaceIndex> by_parent_and_name_;
    std::unordered_map<Rank, PlaceIndex> by_rank_;
    std::optional<std::string> problem_;
};

}  // namespace tenon
