#include "tests/support/moe_case.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "tests/support/quantised_reference.hpp"
#include "tests/unit/reduction_reference.hpp"

namespace tenon::support {
namespace {

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = (a ^ b * 0x9e3779b97f4a7c15u) + 0x2545f4914f6cdd1du;
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

std::uint64_t below(std::mt19937_64& random, std::uint64_t bound) { return random() % bound; }
std::uint64_t between(std::mt19937_64& random, std::uint64_t first, std::uint64_t last) {
    return first + below(random, last - first + 1);
}

DataType random_row_type(std::mt19937_64& random) {
    constexpr DataType types[] = {DataType::bfloat16, DataType::float16, DataType::float32};
    return types[below(random, 3)];
}

}  // namespace

std::string MoeJob::in_words() const {
    std::ostringstream words;
    words << rank_count << " ranks, groups '" << groups << "', " << (over_network ? "network" : "one host")
          << (direct_access ? "" : ", no direct access") << (has_long_rows ? ", long rows" : "") << ", slot memory "
          << slot_memory;
    return words.str();
}

MoeJob random_moe_job(std::mt19937_64& random) {
    MoeJob job{.rank_count = static_cast<int>(between(random, 1, 8)), .direct_access = below(random, 2) == 0};
    // Small slots cut rows into segments and keep few messages under way; the least make every message a packed one.
    constexpr std::uint64_t slot_memories[] = {0, 0, 4 << 20, 1 << 20, 256 << 10};
    job.slot_memory = slot_memories[below(random, std::size(slot_memories))];
    job.over_network = below(random, 6) == 0;
    job.node_of.assign(static_cast<std::size_t>(job.rank_count), 0);
    if (below(random, 4) == 0) return job;
    // Nodes of any sizes.
    int node = 0;
    for (int first = 0; first < job.rank_count; node++) {
        const auto size = static_cast<int>(between(random, 1, static_cast<std::uint64_t>(job.rank_count - first)));
        for (int r = first; r < first + size; r++) job.node_of[static_cast<std::size_t>(r)] = node;
        job.groups += (node == 0 ? "" : ",") + std::to_string(size);
        first += size;
    }
    if (node == 1) job.groups.clear();
    return job;
}

MoeCase::MoeCase(const MoeJob& job, std::uint64_t seed) : node_of_(job.node_of), seed_(seed) {
    std::mt19937_64 random(seed);
    const auto ranks = static_cast<std::size_t>(job.rank_count);
    experts_ = static_cast<int>(between(random, 1, below(random, 3) == 0 ? 40 : 10));
    top_k_ = static_cast<int>(between(random, 1, below(random, 8) == 0 ? 64 : 8));
    hidden_ = between(random, 1, below(random, 4) == 0 ? 3000 : 100);
    most_tokens_ = between(random, 1, below(random, 4) == 0 ? 60 : 12);
    if (hidden_ > 1000 || top_k_ > 8) most_tokens_ = std::min<std::size_t>(most_tokens_, 8);
    if (job.has_long_rows) hidden_ = 7168, top_k_ = 6, most_tokens_ = 40, experts_ = 16;
    dispatch_type_ = random_row_type(random);
    token_type_ = dispatch_type_;
    if (below(random, 3) == 0) {
        dispatch_type_ = below(random, 2) == 0 ? DataType::int8 : DataType::float8_e4m3;
        if (below(random, 4) == 0) token_type_ = dispatch_type_;
    }
    combine_type_ = random_row_type(random);
    float32_partials_ = below(random, 3) == 0;
    constexpr tenonMoePath_t paths[] = {tenonMoeHierarchical, tenonMoeHierarchical, tenonMoeFlat, tenonMoeFlat,
                                        tenonMoeAuto};
    path_ = paths[below(random, std::size(paths))];
    // Often so small that tokens go in several rounds.
    window_bytes_ = below(random, 2) == 0 ? 0 : between(random, 1, 40'000);
    layout_ = below(random, 3) == 0 ? tenonMoeRankMajor : tenonMoeExpertMajor;
    alignment_ = layout_ == tenonMoeRankMajor || below(random, 2) == 0 ? 1 : static_cast<int>(between(random, 2, 9));
    has_weights_ = below(random, 5) != 0;
    uses_shared_memory_ = below(random, 2) == 0;
    has_placement_ = below(random, 2) == 0;
    const auto expert_count = static_cast<std::size_t>(experts_);
    if (has_placement_) {
        // Every expert once, further copies of some, and empty places.
        places_ = static_cast<int>((expert_count + ranks - 1) / ranks + below(random, 3));
        placement_.assign(ranks * static_cast<std::size_t>(places_), -1);
        for (std::size_t i = 0; i < placement_.size(); i++) {
            if (i < expert_count)
                placement_[i] = static_cast<int>(i);
            else if (below(random, 3) != 0)
                placement_[i] = static_cast<int>(below(random, expert_count));
        }
        std::shuffle(placement_.begin(), placement_.end(), random);
    } else {
        places_ = static_cast<int>((expert_count + ranks - 1) / ranks);
        placement_.assign(ranks * static_cast<std::size_t>(places_), -1);
        for (std::size_t r = 0; r < ranks; r++)
            for (std::size_t e = r * expert_count / ranks; e < (r + 1) * expert_count / ranks; e++)
                placement_[r * static_cast<std::size_t>(places_) + e - r * expert_count / ranks] = static_cast<int>(e);
    }
    masked_.assign(ranks, 0);
    if (below(random, 4) == 0)
        for (unsigned char& m : masked_) m = below(random, 3) == 0 ? 1 : 0;
    masks_later_ = std::ranges::count(masked_, 1) != 0 && below(random, 2) == 0;
    // Some experts are hot, some slots are empty, some ranks have no token, and some weights are not finite.
    const bool hot = below(random, 3) == 0;
    for (std::size_t r = 0; r < ranks; r++) {
        tokens_.push_back(masked_[r] != 0 || below(random, 6) == 0 ? 0 : between(random, 0, most_tokens_));
        indices_.emplace_back();
        weights_.emplace_back();
        for (std::size_t i = 0; i < tokens_[r] * static_cast<std::size_t>(top_k_); i++) {
            const std::uint64_t expert = hot && below(random, 2) == 0 ? 0 : below(random, expert_count);
            indices_[r].push_back(below(random, 8) == 0 ? -1 : static_cast<std::int64_t>(expert));
            const float weight = static_cast<float>(below(random, 2000)) / 1000 - 1;
            weights_[r].push_back(below(random, 200) == 0 ? std::numeric_limits<float>::quiet_NaN() : weight);
        }
    }
}

tenonMoeConfig_t MoeCase::config() const {
    tenonMoeConfig_t config = TENON_MOE_CONFIG_INITIALIZER;
    config.experts = experts_;
    config.topK = top_k_;
    config.hidden = hidden_;
    config.maxTokens = most_tokens_;
    config.dispatchType = static_cast<tenonDataType_t>(dispatch_type_);
    config.tokenType = static_cast<tenonDataType_t>(token_type_);
    config.combineType = static_cast<tenonDataType_t>(combine_type_);
    config.float32Partials = float32_partials_ ? 1 : 0;
    config.layout = layout_;
    config.path = path_;
    config.windowBytes = window_bytes_;
    config.alignment = alignment_;
    if (!masks_later_) config.masked = masked_.data();
    config.dropMissing = std::ranges::count(masked_, 1) != 0 ? 1 : 0;
    if (has_placement_) config.placement = placement_.data(), config.placesPerRank = places_;
    return config;
}

std::string MoeCase::in_words() const {
    std::ostringstream words;
    words << "case " << seed_ << ": " << experts_ << " experts, top-" << top_k_ << ", hidden " << hidden_
          << ", at most " << most_tokens_ << " tokens, " << name_of(token_type_) << " / " << name_of(dispatch_type_)
          << " / " << name_of(combine_type_) << (float32_partials_ ? ", float32 partials" : "")
          << (path_ == tenonMoeFlat ? ", flat" : path_ == tenonMoeAuto ? ", auto" : ", hierarchical") << ", window "
          << window_bytes_
          << (rank_major() ? ", rank-major" : ", expert-major") << ", alignment " << alignment_
          << (has_placement_ ? ", placed" : "");
    for (int r = 0; r < rank_count(); r++)
        if (is_masked(r)) words << ", masked rank " << r;
    return words.str();
}

int MoeCase::expert(int rank, std::int64_t token, int slot) const {
    return static_cast<int>(indices(rank)[static_cast<std::size_t>(token * top_k_ + slot)]);
}

float MoeCase::weight(int rank, std::int64_t token, int slot) const {
    return has_weights_ ? weights(rank)[static_cast<std::size_t>(token * top_k_ + slot)] : 1;
}

MoeCase::Place MoeCase::place_of(int rank, std::int64_t token, int slot) const {
    const int wanted = expert(rank, token, slot);
    if (wanted < 0) return {};
    for (const int distance : {0, 1, 2}) {
        std::vector<Place> near;
        for (int r = 0; r < rank_count(); r++)
            for (int place = 0; place < places_; place++) {
                if (expert_at(r, place) != wanted || is_masked(r)) continue;
                const bool on_node = node_of_[static_cast<std::size_t>(r)] == node_of_[static_cast<std::size_t>(rank)];
                if ((r == rank ? 0 : on_node ? 1 : 2) == distance) near.push_back({r, place});
            }
        if (!near.empty()) return near[static_cast<std::size_t>(token + rank) % near.size()];
    }
    return {};
}

// Mostly ordinary values, of which sums differ by their order; sometimes a zero of either sign, an infinity or a NaN.
std::uint64_t MoeCase::element(DataType type, std::uint64_t what) const {
    const std::uint64_t bits = mixed(seed_, what);
    if (type == DataType::int8) return bits & 0xff;
    if (bits % 997 == 0) return reference::nearest(type, std::numeric_limits<double>::quiet_NaN());
    if (bits % 499 == 0) return reference::nearest(type, std::numeric_limits<double>::infinity());
    if (bits % 31 == 0) return reference::nearest(type, bits % 2 == 0 ? 0.0 : -0.0);
    const double magnitude =
        std::ldexp(1 + static_cast<double>(bits >> 20 & 0xfffff) / 0x100000, static_cast<int>(bits >> 8 & 7) - 4);
    return reference::nearest(type, bits >> 63 == 0 ? magnitude : -magnitude);
}

std::uint64_t MoeCase::token_element(int rank, std::int64_t token, std::size_t e, int round) const {
    const auto r = static_cast<std::uint64_t>(rank), t = static_cast<std::uint64_t>(token);
    return element(token_type_, mixed(mixed(r << 32 | t, static_cast<std::uint64_t>(round)), e));
}

std::uint64_t MoeCase::token_scale(int rank, std::int64_t token, std::size_t scale, int round) const {
    const auto r = static_cast<std::uint64_t>(rank), t = static_cast<std::uint64_t>(token);
    return element(DataType::float32, mixed(mixed(r << 32 | t, 2000 + static_cast<std::uint64_t>(round)), scale));
}

std::vector<std::uint64_t> MoeCase::arriving(int rank, std::int64_t token, int round) const {
    std::vector<std::uint64_t> row;
    for (std::size_t e = 0; e < hidden_; e++) row.push_back(token_element(rank, token, e, round));
    if (!is_quantised()) return row;
    if (tokens_are_codes()) {
        for (std::size_t i = 0; i < scales(); i++) row.push_back(token_scale(rank, token, i, round));
        return row;
    }
    const reference::QuantisedRow made = reference::quantised(token_type_, row, dispatch_type_);
    std::vector<std::uint64_t> all(made.codes.begin(), made.codes.end());
    all.insert(all.end(), made.scales.begin(), made.scales.end());
    return all;
}

std::uint64_t MoeCase::expert_element(int at_rank, const MoeRow& row, std::size_t e, int round) const {
    const auto slot = static_cast<std::uint64_t>(rank_major() ? at_rank : row.slot);
    const auto r = static_cast<std::uint64_t>(row.rank), t = static_cast<std::uint64_t>(row.token);
    return element(combine_type_, mixed(mixed(r << 32 | t, 1000 + static_cast<std::uint64_t>(round)), slot << 32 | e));
}

std::vector<MoeRow> MoeCase::rows(int rank) const {
    std::vector<MoeRow> all;
    const auto for_each_slot_here = [&](const auto& use) {
        for (int from = 0; from < rank_count(); from++)
            for (std::int64_t t = 0; t < static_cast<std::int64_t>(tokens(from)); t++)
                for (int s = 0; s < top_k_; s++)
                    if (const Place at = place_of(from, t, s); at.rank == rank) use(from, t, s, at.place);
    };
    if (rank_major()) {
        for_each_slot_here([&](int from, std::int64_t t, int, int) {
            if (all.empty() || all.back().rank != from || all.back().token != t) all.push_back({from, t});
        });
        return all;
    }
    for (int place = 0; place < places_; place++) {
        for_each_slot_here([&](int from, std::int64_t t, int s, int at) {
            if (at == place) all.push_back({from, t, s, expert(from, t, s)});
        });
        while (all.size() % static_cast<std::size_t>(alignment_) != 0) all.emplace_back();
    }
    return all;
}

std::vector<int> MoeCase::entries_by_rank(int rank, std::int64_t token) const {
    std::vector<int> entries(node_of_.size());
    for (int s = 0; s < top_k_; s++)
        if (const Place at = place_of(rank, token, s); at.rank >= 0) entries[static_cast<std::size_t>(at.rank)]++;
    return entries;
}

// The rank with the same index, counted around; on its own node itself.
int MoeCase::forwarder_of(int rank, int node) const {
    std::vector<int> there;
    int index = 0;
    for (int r = 0; r < rank_count(); r++) {
        if (is_masked(r)) continue;
        if (node_of(r) == node) there.push_back(r);
        if (r < rank && node_of(r) == node_of(rank)) index++;
    }
    return there[static_cast<std::size_t>(index) % there.size()];
}

// A token goes to each rank that has experts of it, and comes back from there: a row, or one for each expert.
void MoeCase::add_flat_traffic(Traffic& traffic, int own) const {
    for (int o = 0; o < rank_count(); o++)
        for (std::int64_t t = 0; t < static_cast<std::int64_t>(tokens(o)); t++) {
            const std::vector<int> entries = entries_by_rank(o, t);
            for (int to = 0; to < rank_count(); to++) {
                const int count = entries[static_cast<std::size_t>(to)];
                if (to == o || count == 0) continue;
                const bool inside = node_of(to) == node_of(o);
                if (o == own) (inside ? traffic.dispatch_inside : traffic.dispatch_leaving) += 1;
                if (to == own)
                    (inside ? traffic.combine_inside : traffic.combine_leaving) +=
                        rank_major() ? 1 : static_cast<std::uint64_t>(count);
            }
        }
}

// A token goes to its forwarder on each node, and from there to each rank; back come each rank's rows to the forwarder,
// and their sum from there.
void MoeCase::add_hierarchical_traffic(Traffic& traffic, int own) const {
    for (int o = 0; o < rank_count(); o++)
        for (std::int64_t t = 0; t < static_cast<std::int64_t>(tokens(o)); t++) {
            const std::vector<int> entries = entries_by_rank(o, t);
            std::set<int> nodes;
            for (int to = 0; to < rank_count(); to++) {
                const int count = entries[static_cast<std::size_t>(to)];
                if (count == 0) continue;
                nodes.insert(node_of(to));
                const int forwarder = forwarder_of(o, node_of(to));
                if (forwarder == to) continue;
                if (forwarder == own) traffic.dispatch_inside++;
                if (to == own) traffic.combine_inside += rank_major() ? 1 : static_cast<std::uint64_t>(count);
            }
            nodes.erase(node_of(o));
            for (const int node : nodes) {
                if (o == own) traffic.dispatch_leaving++;
                if (forwarder_of(o, node) == own) traffic.combine_leaving++;
            }
        }
}

MoeCase::Traffic MoeCase::traffic_of(int rank, bool hierarchical) const {
    Traffic traffic;
    const bool by_node = hierarchical && std::ranges::max(node_of_) > 0;
    if (by_node) add_hierarchical_traffic(traffic, rank);
    else add_flat_traffic(traffic, rank);
    const std::uint64_t row = hidden_ * element_bytes(dispatch_type_) + (is_quantised() ? 4 * scales() : 0);
    const std::uint64_t back = hidden_ * element_bytes(combine_type_);
    traffic.dispatch_inside *= row;
    traffic.dispatch_leaving *= row;
    traffic.combine_inside *= back;
    traffic.combine_leaving *= by_node && float32_partials_ ? hidden_ * sizeof(float) : back;
    return traffic;
}

// The recipe, straight from the words.
std::vector<std::uint64_t> MoeCase::combined(int rank, std::int64_t token, bool weighted, int round) const {
    struct Term {
        MoeRow row;
        int at_rank;
        float weight;
    };
    std::vector<int> nodes;  // in the order of their lowest slots
    std::map<int, std::vector<Term>> terms;
    std::set<int> ranks_seen;
    for (int s = 0; s < top_k_; s++) {
        const Place at = place_of(rank, token, s);
        if (at.rank < 0 || (rank_major() && !ranks_seen.insert(at.rank).second)) continue;
        const int node = node_of_[static_cast<std::size_t>(at.rank)];
        if (std::ranges::find(nodes, node) == nodes.end()) nodes.push_back(node);
        terms[node].push_back({{rank, token, s, 0}, at.rank, weighted ? weight(rank, token, s) : 1});
    }
    const DataType partial = float32_partials_ ? DataType::float32 : combine_type_;
    std::vector<std::uint64_t> result;
    for (std::size_t e = 0; e < hidden_; e++) {
        float total = 0;
        for (std::size_t n = 0; n < nodes.size(); n++) {
            float sum = 0;
            bool is_first = true;
            for (const Term& term : terms[nodes[n]]) {
                const auto value = static_cast<float>(
                    reference::value_of(combine_type_, expert_element(term.at_rank, term.row, e, round)));
                const float product = term.weight * value;
                sum = is_first ? product : sum + product;
                is_first = false;
            }
            sum = static_cast<float>(reference::value_of(partial, reference::nearest(partial, sum)));
            total = n == 0 ? sum : total + sum;
        }
        result.push_back(reference::nearest(combine_type_, total));
    }
    return result;
}

}  // namespace tenon::support
