// Routings of MoE for measuring: the shapes of known models, and routers of known imbalance. Random, but the same on
// every rank and in every run.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace tenon::perf {

struct MoeModel {
    std::string_view name;
    std::uint32_t experts, top_k;
    std::uint64_t hidden;
};
std::optional<MoeModel> moe_model_named(std::string_view name);
std::string_view moe_model_names();

// uniform, or zipf-GINI: experts as popular as a Zipf law with that Gini coefficient makes them, in an order that has
// nothing to do with where they are.
struct MoeRouter {
    double gini = 0;
};
std::optional<MoeRouter> moe_router_named(std::string_view name);

// How popular each expert is; the sum is 1. The Gini coefficient is met to a thousandth.
std::vector<double> popularity(const MoeRouter& router, std::uint32_t experts);
double gini_of(std::vector<double> popularity);

// [tokens][top_k] experts of one rank's tokens, each at most once in a token.
std::vector<std::int64_t> route(const MoeRouter& router, const MoeModel& model, std::uint64_t tokens, int rank);

}  // namespace tenon::perf
