// Routings of MoE for measuring: the shapes of known models, routers of known imbalance, and recorded ones. Random, but
// the same in every run.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
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

// How tokens choose:
//   uniform          all experts alike
//   zipf-GINI        experts as popular as a Zipf law with that Gini coefficient makes them, in an order that has
//                    nothing to do with where they are
//   hot-rank-F       the experts of rank 0 get F times the mean of a rank, each alike
//   hot-expert-F     expert 0 gets F times the mean of an expert, or is in every token if that is less
//   group-limited-N  uniform, but a token's experts are of at most N of the 8 groups in which the experts are dealt out
//                    (DeepSeek-V3: N = 4, and a group to a node)
//   masked-F         uniform, but that part of the slots has no expert
//   uneven           uniform; rank r of R has (R - r) / R of the tokens
//   idle-rank        uniform; the last rank has no token
//   file:PATH        as recorded; see moe_recording.hpp
struct MoeRouter {
    enum class Kind { uniform, zipf, hot_rank, hot_expert, group_limited, masked, uneven, idle_rank, file };
    Kind kind = Kind::uniform;
    double amount = 0;
    std::string path{};
};
std::optional<MoeRouter> moe_router_named(std::string_view name);
std::string_view moe_router_names();

// Of `experts`, blocks as even as can be, as a MoE group without a placement deals them to ranks.
std::uint32_t block_of_expert(std::uint32_t expert, std::uint32_t experts, std::uint32_t blocks);

// How popular each expert is, for `uniform` and `zipf`; the sum is 1. The Gini coefficient is met to a thousandth.
std::vector<double> popularity(double gini, std::uint32_t experts);
double gini_of(std::vector<double> popularity);

// What one rank's tokens choose; of each token every expert at most once, unless it was recorded otherwise.
struct MoeChoices {
    MoeModel model;  // with the experts and the top_k of a recording
    std::uint64_t tokens = 0;
    std::vector<std::int64_t> experts{};  // [tokens][top_k], -1 for none
};
// For rank `rank` of `ranks`, with as many tokens as the router gives it of `tokens`. Or why it cannot be so.
std::expected<MoeChoices, std::string> route(const MoeRouter& router, const MoeModel& model, std::uint64_t tokens,
                                             std::uint32_t rank, std::uint32_t ranks);

}  // namespace tenon::perf
