#include "perf/moe_routing.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <random>

namespace tenon::perf {
namespace {

// DeepSeek-V3 and V4, Mixtral 8x7B, and one that is small in everything.
constexpr MoeModel models[] = {{"v3", 256, 8, 7168},     {"v4-pro", 384, 6, 7168}, {"v4-flash", 256, 6, 4096},
                               {"mixtral", 8, 2, 4096}, {"small", 16, 4, 512}};

constexpr double most_gini = 0.95;
constexpr std::uint64_t seed = 0x7e40;

std::vector<double> zipf(double exponent, std::uint32_t experts) {
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

std::optional<MoeRouter> moe_router_named(std::string_view name) {
    if (name == "uniform") return MoeRouter{};
    constexpr std::string_view prefix = "zipf-";
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    double gini = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), gini);
    if (error != std::errc{} || end != name.data() + name.size() || !(gini > 0 && gini <= most_gini))
        return std::nullopt;
    return MoeRouter{gini};
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

std::vector<double> popularity(const MoeRouter& router, std::uint32_t experts) {
    double low = 0, high = 8;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        (gini_of(zipf(middle, experts)) < router.gini ? low : high) = middle;
    }
    std::vector<double> shares = zipf(router.gini == 0 ? 0 : high, experts);
    std::mt19937_64 random(seed);
    std::shuffle(shares.begin(), shares.end(), random);
    return shares;
}

// Without replacement: the experts of the top_k largest keys log(u) / share (Efraimidis and Spirakis, Weighted random
// sampling with a reservoir, IPL 2006), in the order of their keys, as a router's top-k is.
std::vector<std::int64_t> route(const MoeRouter& router, const MoeModel& model, std::uint64_t tokens, int rank) {
    const std::vector<double> shares = popularity(router, model.experts);
    std::mt19937_64 random(seed + 1 + static_cast<std::uint64_t>(rank));
    std::uniform_real_distribution<double> uniform(1e-300, 1);
    std::vector<std::pair<double, std::int64_t>> keys(model.experts);
    std::vector<std::int64_t> chosen;
    chosen.reserve(tokens * model.top_k);
    for (std::uint64_t t = 0; t < tokens; t++) {
        for (std::uint32_t e = 0; e < model.experts; e++) keys[e] = {std::log(uniform(random)) / shares[e], e};
        std::partial_sort(keys.begin(), keys.begin() + model.top_k, keys.end(), std::greater<>{});
        for (std::uint32_t s = 0; s < model.top_k; s++) chosen.push_back(keys[s].second);
    }
    return chosen;
}

}  // namespace tenon::perf
