// A tuning file: what was measured on the machines at hand, for prices and choices to use. README.md has the format.
//
// A file is read by every rank when a communicator is made, and its contents are compared between the ranks: whatever
// it says is configuration, the same for all. Values only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/cost.hpp"

namespace tenon {

// The algorithm that was quickest among so many ranks on so many hosts, for a range of sizes of the large buffer.
struct TunedChoice {
    Collective collective{};
    Rank rank_count = 0;
    std::int32_t hosts = 0;
    ByteCount min_bytes{0}, max_bytes{UINT64_MAX};
    std::string algorithm;
    friend bool operator==(const TunedChoice&, const TunedChoice&) = default;
};

// What the links of a level were found to do; 0: what the topology says.
struct TunedLink {
    std::string level;
    std::uint64_t latency_ns = 0, rank_bytes_per_s = 0, part_bytes_per_s = 0;
    friend bool operator==(const TunedLink&, const TunedLink&) = default;
};

struct Tuning {
    std::vector<TunedLink> links;
    CostParameters costs;
    std::vector<TunedChoice> choices;
    std::uint64_t fingerprint = 0;  // of the file's bytes; 0: there is no file
    friend bool operator==(const Tuning&, const Tuning&) = default;

    // The first that fits; null where there is none.
    const TunedChoice* find(const Request& request, const Topology& topology, ByteCount bytes) const;
    Topology applied_to(Topology topology) const;
};

// `name` is the file's, for errors: they have the line and what is wrong with it. Algorithms' names are not checked.
Result<Tuning> parse_tuning(std::string_view text, std::string_view name);
Result<Tuning> read_tuning_file(const std::string& path);
// As parse_tuning reads it, the fingerprint apart.
std::string show(const Tuning& tuning);

}  // namespace tenon
