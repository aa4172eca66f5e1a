// Ranks try ways of moving bytes on the same calls, first and again later, though what a call means to them differs: a
// root moves more than others, and with v-calls each has lengths of its own.
#include <gtest/gtest.h>

#include <vector>

#include "tests/conformance/local_job.hpp"

namespace tenon::conformance {
namespace {

constexpr Rank rank_count = 3;
constexpr int calls = 3'000;  // so many that a trial begins again

// What each rank has tried when all have made the call so often.
std::vector<std::uint64_t> tries_of(const Call& call) {
    Config config;
    config.timeout_ms = 100'000;
    LocalJob job(rank_count, config);
    std::vector<std::uint64_t> tries;
    job.run([&](Communicator& communicator) {
        const std::vector<std::byte> input(1 << 20);
        std::vector<std::byte> output(1 << 20);
        Call mine = call;
        mine.send = input.data();
        mine.receive = output.data();
        if (is_v(call.collective)) mine.count = call.receive_counts[communicator.rank()];
        for (int i = 0; i < calls; i++) ASSERT_TRUE(communicator.run(mine));
    });
    for (Rank r = 0; r < rank_count; r++) tries.push_back(job.rank(r).tries());
    return tries;
}

void expect_tries_in_step(const Call& call) {
    const auto tries = tries_of(call);
    EXPECT_EQ(tries, std::vector<std::uint64_t>(rank_count, tries[0]))
        << name_of(call.collective) << " of " << call.count << ", root " << call.root;
    EXPECT_GT(tries[0], 0U) << name_of(call.collective) << " of " << call.count << ": nothing was tried";
}

TEST(Trials, AreInStepWhereARootMovesMoreThanOthers) {
    for (const Collective collective :
         {Collective::broadcast, Collective::scatter, Collective::gather, Collective::reduce})
        for (const std::uint64_t count : {12 << 10, 24 << 10, 100 << 10})
            for (const Rank root : {0, 2})
                expect_tries_in_step({.collective = collective, .type = DataType::uint8, .root = root, .count = count});
}

TEST(Trials, AreInStepWhereEveryRankIsSmall) {
    for (const Collective collective : {Collective::all_reduce, Collective::all_gather, Collective::all_to_all})
        expect_tries_in_step({.collective = collective, .type = DataType::uint8, .count = 8 << 10});
}

TEST(Trials, AreInStepWhereLengthsDiffer) {
    const std::size_t counts[] = {4 << 10, 100 << 10, 60 << 10}, offsets[] = {0, 200 << 10, 400 << 10};
    for (const Collective collective : {Collective::all_gather_v, Collective::reduce_scatter_v})
        expect_tries_in_step({.collective = collective,
                              .type = DataType::uint8,
                              .receive_counts = counts,
                              .receive_offsets = collective == Collective::all_gather_v ? offsets : nullptr});
}

}  // namespace
}  // namespace tenon::conformance
