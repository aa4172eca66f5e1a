#include "perf/moe_routing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>

#include "perf/moe_recording.hpp"

namespace tenon::perf {
namespace {

// DeepSeek-V3 and V4, Mixtral 8x7B, and one that is small in everything.
constexpr MoeModel models[] = {{"v3", 256, 8, 7168},     {"v4-pro", 384, 6, 7168}, {"v4-flash", 256, 6, 4096},
                               {"mixtral", 8, 2, 4096}, {"small", 16, 4, 512}};

constexpr double most_gini = 0.95;
constexpr std::uint32_t limit_groups = 8;  // as DeepSeek-V3 has
constexpr std::uint64_t seed = 0x7e40;

std::vector<double> zipf_law(double exponent, std::uint32_t experts) {
    std::vector<double> shares(experts);
    for (std::uint32_t e = 0; e < experts; e++) shares[e] = std::pow(e + 1, -exponent);
    const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
    for (double& share : shares) share /= sum;
    return shares;
}

}  // namespace

std::optional<MoeModel> moe_model_named(std::string_view name) {
    const auto at = std::ranges::find(models, name, &MoeModel::name);
    return at == std::end(models) ? std::nullopt : std::optional(*at);
}

std::string_view moe_model_names() { return "v3, v4-pro, v4-flash, mixtral, small"; }

std::string_view moe_router_names() {
    return "uniform, zipf-GINI (up to 0.95), hot-rank-F, hot-expert-F, group-limited-N, masked-PART (below 1), uneven, "
           "idle-rank or file:PATH";
}

std::optional<MoeRouter> moe_router_named(std::string_view name) {
    using enum MoeRouter::Kind;
    constexpr std::pair<std::string_view, MoeRouter::Kind> plain[] = {
        {"uniform", uniform}, {"uneven", uneven}, {"idle-rank", idle_rank}};
    for (const auto& [word, kind] : plain)
        if (name == word) return MoeRouter{kind};
    if (constexpr std::string_view prefix = "file:"; name.starts_with(prefix) && name.size() > prefix.size())
        return MoeRouter{file, 0, std::string(name.substr(prefix.size()))};
    struct Row {
        std::string_view prefix;
        MoeRouter::Kind kind;
        double least, most;
    };
    constexpr Row rows[] = {{"zipf-", zipf, 0.001, most_gini}, {"hot-rank-", hot_rank, 1, 1000},
                            {"hot-expert-", hot_expert, 1, 1e6}, {"group-limited-", group_limited, 1, limit_groups},
                            {"masked-", masked, 0, 0.999}};
    for (const Row& row : rows) {
        if (!name.starts_with(row.prefix)) continue;
        const std::string_view number = name.substr(row.prefix.size());
        double amount = 0;
        const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), amount);
        if (error != std::errc{} || end != number.data() + number.size()) return std::nullopt;
        if (!(amount >= row.least && amount <= row.most)) return std::nullopt;
        if (row.kind == group_limited && amount != std::floor(amount)) return std::nullopt;
        return MoeRouter{row.kind, amount};
    }
    return std::nullopt;
}

std::uint32_t block_of_expert(std::uint32_t expert, std::uint32_t experts, std::uint32_t blocks) {
    return static_cast<std::uint32_t>(((std::uint64_t{expert} + 1) * blocks - 1) / experts);
}

double gini_of(std::vector<double> popularity) {
    std::sort(popularity.begin(), popularity.end());
    const auto n = static_cast<double>(popularity.size());
    double weighted = 0, sum = 0;
    for (std::size_t i = 0; i < popularity.size(); i++) {
        weighted += (2 * static_cast<double>(i + 1) - n - 1) * popularity[i];
        sum += popularity[i];
    }
    return weighted / (n * sum);
}

std::vector<double> popularity(double gini, std::uint32_t experts) {
    double low = 0, high = 8;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        (gini_of(zipf_law(middle, experts)) < gini ? low : high) = middle;
    }
    std::vector<double> shares = zipf_law(gini == 0 ? 0 : high, experts);
    std::mt19937_64 random(seed);
    std::shuffle(shares.begin(), shares.end(), random);
    return shares;
}

namespace {

// Draws tokens' experts without replacement: those of the top_k largest keys log(u) / share (Efraimidis and Spirakis,
// Weighted random sampling with a reservoir, IPL 2006), in the order of their keys, as a router's top-k is.
class Drawer {
public:
    Drawer(const MoeModel& model, std::uint64_t own_seed) : model_(model), random_(own_seed), keys_(model.experts) {}

    using Keys = std::vector<std::pair<double, std::int64_t>>;
    // The first top_k are the token's.
    const Keys& draw(const std::vector<double>& shares) {
        for (std::uint32_t e = 0; e < model_.experts; e++) keys_[e] = {std::log(uniform_(random_)) / shares[e], e};
        std::partial_sort(keys_.begin(), keys_.begin() + model_.top_k, keys_.end(), std::greater<>{});
        return keys_;
    }
    // The same of the experts of at most so many groups: those of the best experts.
    const Keys& draw_limited(const std::vector<double>& shares, std::uint32_t groups) {
        draw(shares);
        std::sort(keys_.begin(), keys_.end(), std::greater<>{});
        std::vector<bool> taken(limit_groups);
        std::uint32_t left = groups;
        for (const auto& [key, expert] : keys_) {
            const std::uint32_t group = group_of(expert);
            if (left != 0 && !taken[group]) taken[group] = true, left--;
        }
        std::ranges::sort(keys_, std::greater<>{}, [&](const auto& key) {
            return std::pair{bool{taken[group_of(key.second)]}, key};
        });
        return keys_;
    }
    double uniform() { return uniform_(random_); }

private:
    std::uint32_t group_of(std::int64_t expert) const {
        return block_of_expert(static_cast<std::uint32_t>(expert), model_.experts, limit_groups);
    }

    const MoeModel& model_;
    std::mt19937_64 random_;
    std::uniform_real_distribution<double> uniform_{1e-300, 1};
    Keys keys_;
};

// The part of a token's slots that experts [0, hot) get, of many tokens.
double part_of_hot(const MoeModel& model, const std::vector<double>& shares, std::uint32_t hot) {
    constexpr int tokens = 2000;
    Drawer drawer(model, seed);
    std::uint64_t hits = 0;
    for (int t = 0; t < tokens; t++) {
        const Drawer::Keys& keys = drawer.draw(shares);
        for (std::uint32_t s = 0; s < model.top_k; s++) hits += keys[s].second < hot ? 1 : 0;
    }
    return static_cast<double>(hits) / (tokens * static_cast<double>(model.top_k));
}

// Shares with which experts [0, hot) together get that part of all slots. What is drawn grows with the share, but less,
// since no token draws an expert twice: found by halving.
std::vector<double> shares_with_hot(const MoeModel& model, std::uint32_t hot, double part) {
    std::vector<double> shares(model.experts, 1);
    double low = -4, high = 12;  // of the natural logarithm of how much more popular they are
    for (int i = 0; i < 14; i++) {
        const double middle = (low + high) / 2;
        std::fill_n(shares.begin(), hot, std::exp(middle));
        (part_of_hot(model, shares, hot) < part ? low : high) = middle;
    }
    return shares;
}

std::expected<std::vector<double>, std::string> shares_of(const MoeRouter& router, const MoeModel& model,
                                                          std::uint32_t ranks) {
    switch (router.kind) {
        case MoeRouter::Kind::zipf:
            return popularity(router.amount, model.experts);
        case MoeRouter::Kind::hot_rank: {
            const std::uint32_t hot = model.experts / ranks;  // rank 0's
            const double part = router.amount / ranks;
            const double most = std::min(1.0, static_cast<double>(hot) / model.top_k);
            if (hot == 0 || part > most)
                return std::unexpected(fmt::format(
                    "hot-rank-{}: with {} ranks rank 0 has {} experts, and can get at most {:.2f} times the "
                    "mean; use more ranks or a smaller factor",
                    router.amount, ranks, hot, hot == 0 ? 0 : most * ranks));
            return shares_with_hot(model, hot, part);
        }
        case MoeRouter::Kind::hot_expert:
            return shares_with_hot(model, 1, std::min(router.amount / model.experts, 1.0 / model.top_k));
        default:
            return std::vector<double>(model.experts, 1);
    }
}

std::expected<MoeChoices, std::string> recorded(const MoeRouter& router, const MoeModel& model, std::uint32_t rank,
                                                std::uint32_t ranks) {
    auto recording = read_moe_recording(router.path);
    if (!recording) return std::unexpected(recording.error());
    if (recording->ranks != ranks)
        return std::unexpected(fmt::format("{} is of {} ranks, and these are {}; use --ranks {}", router.path,
                                           recording->ranks, ranks, recording->ranks));
    MoeChoices made{.model = {model.name, recording->experts, recording->top_k, model.hidden}};
    made.experts = std::move(recording->choices[rank]);
    made.tokens = made.experts.size() / made.model.top_k;
    return made;
}

std::uint64_t tokens_of(const MoeRouter& router, std::uint64_t tokens, std::uint32_t rank, std::uint32_t ranks) {
    if (router.kind == MoeRouter::Kind::idle_rank) return rank + 1 == ranks ? 0 : tokens;
    return router.kind == MoeRouter::Kind::uneven ? tokens * (ranks - rank) / ranks : tokens;
}

}  // namespace

std::expected<MoeChoices, std::string> route(const MoeRouter& router, const MoeModel& model, std::uint64_t tokens,
                                             std::uint32_t rank, std::uint32_t ranks) {
    if (router.kind == MoeRouter::Kind::file) return recorded(router, model, rank, ranks);
    const auto groups = static_cast<std::uint32_t>(router.amount);
    const bool is_limited = router.kind == MoeRouter::Kind::group_limited;
    if (is_limited && groups * (model.experts / limit_groups) < model.top_k)
        return std::unexpected(fmt::format("group-limited-{}: {} groups of {}'s experts have fewer than its top-{}",
                                           groups, groups, model.name, model.top_k));
    const auto shares = shares_of(router, model, ranks);
    if (!shares) return std::unexpected(shares.error());
    MoeChoices made{.model = model, .tokens = tokens_of(router, tokens, rank, ranks)};
    made.experts.reserve(made.tokens * model.top_k);
    Drawer drawer(model, seed + 1 + rank);
    for (std::uint64_t t = 0; t < made.tokens; t++) {
        const Drawer::Keys& keys = is_limited ? drawer.draw_limited(*shares, groups) : drawer.draw(*shares);
        for (std::uint32_t s = 0; s < model.top_k; s++) {
            const bool is_masked = router.kind == MoeRouter::Kind::masked && drawer.uniform() < router.amount;
            made.experts.push_back(is_masked ? -1 : keys[s].second);
        }
    }
    return made;
}

}  // namespace tenon::perf
