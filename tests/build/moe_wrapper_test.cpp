// moe.hpp through the real library: its arguments reach the calls they belong to, and sizes and types that do not fit
// are refused before any rank waits.
#include <gtest/gtest.h>

#include <tenon/moe.hpp>
#include <vector>

#include "tests/build/wrapped_ranks.hpp"

namespace {

constexpr int rank_count = 2;
constexpr std::size_t hidden = 3;

tenon::MoeSettings settings() {
    return {.experts = 3, .top_k = 2, .hidden = hidden, .max_tokens = 4, .dispatch_type = tenonFloat32,
            .combine_type = tenonFloat32, .alignment = 2};
}

// Experts 0 | 1, 2; each rank's one token goes to 2 and 0, with weights 2 and 0.5.
TEST(MoeWrapper, DispatchesAndCombines) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        tenon::MoeGroup group(ranks, settings());
        const std::vector<std::int64_t> indices{2, 0};
        const std::vector<float> weights{2, 0.5F};
        tenon::MoeHandle handle = group.prepare(indices, weights);
        const tenon::MoeCounts counts = handle.counts();
        EXPECT_EQ(counts.tokens, 1U);
        EXPECT_EQ(counts.rows, 2U);
        EXPECT_EQ(counts.experts.size(), 2U);
        EXPECT_EQ(counts.place_rows[ranks.rank() == 0 ? 0 : 1], 2U);
        EXPECT_EQ(std::vector<std::size_t>(counts.sent_tokens.begin(), counts.sent_tokens.end()),
                  (std::vector<std::size_t>{1, 1}));
        const std::vector<float> token(hidden, static_cast<float>(ranks.rank() + 1));
        std::vector<float> rows(counts.rows * hidden), sum(hidden);
        handle.dispatch(token, rows);
        EXPECT_EQ(rows, (std::vector<float>{1, 1, 1, 2, 2, 2}));
        handle.combine(rows, sum);
        EXPECT_EQ(sum, std::vector<float>(hidden, 2.5F * token[0]));
        handle.combine(rows, sum, false);
        EXPECT_EQ(sum, std::vector<float>(hidden, 2 * token[0]));
    });
}

// A token of 3, 0 and -3: the scale is 3 / 127, the codes 127, 0 and -127.
TEST(MoeWrapper, DispatchesQuantisedRows) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        tenon::MoeSettings of_codes = settings();
        of_codes.dispatch_type = tenonInt8;
        of_codes.token_type = tenonFloat32;
        tenon::MoeGroup group(ranks, of_codes);
        EXPECT_EQ(of_codes.scales_of_row(), 1U);
        const std::vector<std::int64_t> indices{ranks.rank() == 0 ? 2 : 0, -1};
        tenon::MoeHandle handle = group.prepare(indices);
        const std::size_t rows = handle.counts().rows;
        ASSERT_EQ(rows, 2U);  // with padding
        std::vector<std::byte> codes(rows * hidden, std::byte{7});
        std::vector<float> scales(rows, 7);
        const std::vector<float> token{3, 0, -3};
        const std::vector<double> wide_token(hidden);
        handle.dispatch_quantised(token, codes, scales);
        EXPECT_EQ(scales, (std::vector<float>{3.0F / 127, 0}));
        EXPECT_EQ(static_cast<int>(codes[0]), 127);
        EXPECT_EQ(static_cast<int>(codes[1]), 0);
        EXPECT_EQ(static_cast<int>(codes[2]), 256 - 127);
        EXPECT_EQ(static_cast<int>(codes[3]), 0);
        EXPECT_EQ(refusal([&] { handle.dispatch_quantised(token, codes, std::span(scales).first(1)); }),
                  tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { handle.dispatch_quantised(wide_token, codes, scales); }), tenonInvalidArgument);
    });
}

TEST(MoeWrapper, RunsInStreams) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        tenon::MoeGroup group(ranks, settings());
        tenon::Stream stream;
        const std::vector<std::int64_t> indices{1, -1};
        tenon::MoeHandle handle = group.prepare(indices, {}, stream);
        const std::vector<float> token(hidden, 7);
        std::vector<float> rows(2 * rank_count * hidden), sum(hidden);
        handle.dispatch(token, rows, stream);
        handle.combine(rows, sum, true, stream);
        stream.synchronize();
        EXPECT_EQ(sum, token);
    });
}

TEST(MoeWrapper, RefusesWhatDoesNotFit) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        tenon::MoeGroup group(ranks, settings());
        const std::vector<std::int64_t> odd{0, 1, 2}, indices{0, 1};
        EXPECT_EQ(refusal([&] { group.prepare(odd); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { group.prepare(indices, std::vector<float>{1}); }), tenonInvalidArgument);
        tenon::MoeHandle handle = group.prepare(indices);
        std::vector<float> token(hidden), short_token(hidden - 1), rows(handle.counts().rows * hidden);
        std::vector<double> wide_token(hidden), wide_rows(rows.size());
        std::vector<float> few_rows(rows.size() - 1);
        EXPECT_EQ(refusal([&] { handle.dispatch(short_token, rows); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { handle.dispatch(wide_token, wide_rows); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { handle.dispatch(token, few_rows); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { handle.combine(few_rows, token); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { handle.combine(rows, short_token); }), tenonInvalidArgument);
        handle.dispatch(token, rows);
    });
}

TEST(MoeWrapper, TellsItsMemory) {
    tenon::Communicator alone = std::move(tenon::Communicator::create_all(1).front());
    EXPECT_GT(tenon::MoeGroup::memory_bytes(alone, settings()), 0U);
    tenon::MoeSettings nowhere = settings();
    nowhere.placement = {0, 1};
    nowhere.places_per_rank = 2;
    EXPECT_EQ(refusal([&] { tenon::MoeGroup(alone, nowhere); }), tenonInvalidArgument);
}

}  // namespace
