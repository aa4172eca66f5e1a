// A layer of a Mixture-of-Experts: six experts on four processes, two for each token.
//
// A router gives each token its two experts and their weights. Dispatch brings the tokens to the ranks that have these
// experts, each rank runs its experts on the rows that came for them, and combine brings the results back, weighted and
// added. Here an expert multiplies by a number of its own, so that what must come out is easy to say.
#include <cstdio>
#include <tenon/moe.hpp>
#include <vector>

#include "run_ranks.hpp"

namespace {

constexpr int rank_count = 4, experts = 6, top_k = 2;
constexpr std::size_t hidden = 64, token_count = 32;

float factor_of(int expert) { return static_cast<float>(1 + expert); }

// What a router would compute from the token: here by its number.
std::vector<std::int64_t> choose(int rank) {
    std::vector<std::int64_t> chosen;
    for (std::size_t t = 0; t < token_count; ++t) {
        const auto first = static_cast<std::int64_t>((5 * t + static_cast<std::size_t>(rank)) % experts);
        chosen.insert(chosen.end(), {first, (first + 3) % experts});
    }
    return chosen;
}

bool run_rank(tenon::Communicator& ranks) {
    tenon::MoeGroup group(ranks, {.experts = experts,
                                  .top_k = top_k,
                                  .hidden = hidden,
                                  .max_tokens = token_count,
                                  .dispatch_type = tenonFloat32,
                                  .combine_type = tenonFloat32});
    std::vector<float> tokens(token_count * hidden, static_cast<float>(1 + ranks.rank()));
    const std::vector<std::int64_t> chosen = choose(ranks.rank());
    const std::vector<float> weights(chosen.size(), 0.5F);

    // Who sends what to whom is told once; the handle serves this layer's forward and backward pass.
    tenon::MoeHandle routing = group.prepare(chosen, weights);
    const tenon::MoeCounts counts = routing.counts();

    std::vector<float> rows(counts.rows * hidden);
    routing.dispatch(tokens, rows);
    for (std::size_t place = 0; place < counts.experts.size(); ++place) {
        const std::size_t first = counts.place_offsets[place] * hidden, size = counts.place_rows[place] * hidden;
        for (float& value : std::span(rows).subspan(first, size)) value *= factor_of(counts.experts[place]);
    }
    std::vector<float> results(tokens.size());
    routing.combine(rows, results);

    for (std::size_t i = 0; i < results.size(); ++i) {
        const std::size_t slot = i / hidden * top_k;
        const float factor =
            0.5F * (factor_of(static_cast<int>(chosen[slot])) + factor_of(static_cast<int>(chosen[slot + 1])));
        if (results[i] == factor * tokens[i]) continue;
        std::fprintf(stderr, "rank %d: result %zu is wrong: %g\n", ranks.rank(), i, results[i]);
        return false;
    }
    std::printf("rank %d: %zu rows came for %zu places, and %zu tokens went back\n", ranks.rank(), counts.rows,
                counts.experts.size(), token_count);
    return true;
}

}  // namespace

int main() { return run_ranks(rank_count, run_rank); }
