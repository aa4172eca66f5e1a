// tenon.hpp through the real library: every wrapped call puts its arguments where they belong, sizes that do not fit
// are refused before any rank waits, and a group that is left by an exception has done nothing.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <stdexcept>
#include <tenon/tenon.hpp>
#include <vector>

#include "tests/build/wrapped_ranks.hpp"

namespace {

using Counts = std::vector<std::size_t>;
constexpr int rank_count = 3;

std::vector<int> block(int rank, std::size_t count = 2) { return std::vector<int>(count, 10 * (rank + 1)); }

TEST(Wrapper, Reduces) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        const std::vector<int> mine = block(ranks.rank());
        std::vector<int> result(2);
        ranks.all_reduce(mine, result);
        EXPECT_EQ(result, (std::vector{60, 60}));
        ranks.all_reduce(result, tenonMax);
        EXPECT_EQ(result, (std::vector{60, 60}));
        std::vector<int> at_root(ranks.rank() == 1 ? 2 : 0);
        ranks.reduce(mine, at_root, tenonMin, 1);
        if (ranks.rank() == 1) {
            EXPECT_EQ(at_root, (std::vector{10, 10}));
        }
        std::vector<int> wide(6);
        std::iota(wide.begin(), wide.end(), 0);
        ranks.reduce_scatter(wide, result);
        EXPECT_EQ(result, (std::vector{6 * ranks.rank(), 6 * ranks.rank() + 3}));
        std::vector<int> uneven(static_cast<std::size_t>(ranks.rank() + 1));
        ranks.reduce_scatter_v(wide, uneven, Counts{1, 2, 3}, tenonMax);
        EXPECT_EQ(uneven.back(), (std::array{0, 2, 5})[static_cast<std::size_t>(ranks.rank())]);
    });
}

TEST(Wrapper, Moves) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        const int rank = ranks.rank();
        std::vector<int> buffer = block(rank);
        ranks.broadcast(buffer, 2);
        EXPECT_EQ(buffer, block(2));
        const std::array pair{rank, -rank};
        std::vector<int> gathered(6);
        ranks.all_gather(pair, gathered);
        EXPECT_EQ(gathered, (std::vector{0, 0, 1, -1, 2, -2}));
        std::vector<int> uneven = block(rank, static_cast<std::size_t>(rank + 1));
        ranks.all_gather_v(uneven, gathered, Counts{1, 2, 3}, Counts{5, 3, 0});
        EXPECT_EQ(gathered, (std::vector{30, 30, 30, 20, 20, 10}));

        std::vector<int> sent{10 * rank, 10 * rank + 1, 10 * rank + 2}, received(3);
        ranks.all_to_all(sent, received);
        EXPECT_EQ(received, (std::vector{rank, 10 + rank, 20 + rank}));
        ranks.all_to_all_v(sent, Counts{1, 1, 1}, Counts{2, 1, 0}, received, Counts{1, 1, 1}, Counts{0, 2, 1});
        EXPECT_EQ(received, (std::vector{2 - rank, 22 - rank, 12 - rank}));

        std::vector<int> at_root(rank == 1 ? 6 : 0), part(2);
        buffer = block(rank);
        ranks.gather(buffer, at_root, 1);
        if (rank == 1) {
            EXPECT_EQ(at_root, (std::vector{10, 10, 20, 20, 30, 30}));
        }
        ranks.scatter(at_root, part, 1);
        EXPECT_EQ(part, block(rank));
        tenon::group([&] {
            ranks.send(buffer, (rank + 1) % rank_count);
            ranks.receive(part, (rank + 2) % rank_count);
        });
        EXPECT_EQ(part, block((rank + 2) % rank_count));
        ranks.barrier();
    });
}

TEST(Wrapper, KnowsTheTypeOfItsElements) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        std::array<std::uint8_t, 1> small{200};
        ranks.all_reduce(small, tenonMax);
        EXPECT_EQ(small[0], 200);  // as a signed byte it would be less than 0
        std::array<double, 1> fraction{0.25};
        ranks.all_reduce(fraction);
        EXPECT_EQ(fraction[0], 0.75);
        tenon::Memory<long> large(1);
        large[0] = 1L << 40;
        ranks.all_reduce(large);
        EXPECT_EQ(large[0], 3L << 40);
    });
}

TEST(Wrapper, OwnsWhatACommunicatorGave) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        std::vector<float> values{1};
        tenonRedOp_t destroyed = tenonSum;
        {
            tenon::ScaledSum half(ranks, 0.5F);
            tenon::ScaledSum scaled = std::move(half);
            const tenon::Registration registered(ranks, values);
            ranks.all_reduce(values, scaled);
            EXPECT_EQ(values[0], 0.5F * rank_count);
            destroyed = scaled;
        }
        EXPECT_EQ(refusal([&] { ranks.all_reduce(values, destroyed); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { tenon::Registration(ranks, std::span<float>()); }), tenonInvalidArgument);
    });
}

TEST(Wrapper, RefusesSizesThatDoNotFit) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        std::vector<int> two(2), five(5), six(6);
        const int own = ranks.rank();
        EXPECT_EQ(refusal([&] { ranks.all_reduce(two, six); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.reduce(two, six, tenonSum, own); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.reduce_scatter(five, two); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.reduce_scatter_v(five, two, Counts{2, 2, 2}); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.all_gather(two, five); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] {
                      ranks.all_gather_v(two, six, Counts{2, 2, 2}, Counts{0, 2, 5});
                  }),
                  tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.all_to_all(five, five); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] {
                      ranks.all_to_all_v(six, Counts{2, 2}, Counts{0, 2}, six, Counts{2, 2}, Counts{0, 2});
                  }),
                  tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.gather(two, five, own); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.scatter(five, two, own); }), tenonInvalidArgument);
        EXPECT_EQ(refusal([&] { ranks.broadcast(two, rank_count); }),
                  tenonInvalidArgument);  // the library's own refusal
        ranks.all_reduce(two);            // and nothing of it has harmed the communicator
    });
}

TEST(Wrapper, GroupLeftByAnExceptionHasDoneNothing) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        std::vector<int> values{1}, sum(1);
        EXPECT_THROW(tenon::group([&] {
                         ranks.all_reduce(values, sum);
                         throw std::runtime_error("of the caller's own");
                     }),
                     std::runtime_error);
        EXPECT_EQ(sum[0], 0);
        ranks.all_reduce(values, sum);
        EXPECT_EQ(sum[0], rank_count);
    });
}

TEST(Wrapper, StreamsRunInOrder) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        std::vector<int> values{1};
        tenon::Event first;
        tenon::Stream one, other;
        ranks.all_reduce(values, tenonSum, one);
        first.record(one);
        other.wait(first);
        ranks.all_reduce(values, tenonSum, other);
        other.synchronize();
        EXPECT_EQ(values[0], rank_count * rank_count);
    });
}

TEST(Wrapper, SplitsWithSettingsOfItsOwn) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        auto part = ranks.split(0, 0, tenon::Settings{.algorithm = "all_reduce=ring"});
        EXPECT_EQ(part->algorithm(tenonCollectiveAllReduce, 1, tenonFloat32), "ring");
    });
}

TEST(Wrapper, MakesNoCommunicatorInsideAGroup) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        EXPECT_EQ(refusal([&] { tenon::group([&] { ranks.split(0, 0); }); }), tenonInvalidUsage);
        EXPECT_EQ(refusal([&] { tenon::group([&] { tenon::Communicator(1, tenon::unique_id(), 0); }); }),
                  tenonInvalidUsage);
        ranks.barrier();
    });
}

TEST(Wrapper, SplitsAndMoves) {
    on_ranks(rank_count, [](tenon::Communicator& ranks) {
        std::optional<tenon::Communicator> part =
            ranks.split(ranks.rank() == 0 ? TENON_SPLIT_NOCOLOR : 7, -ranks.rank());
        ASSERT_EQ(part.has_value(), ranks.rank() != 0);
        if (!part) return;
        tenon::Communicator moved = std::move(*part);
        EXPECT_EQ(moved.rank_count(), 2);
        EXPECT_EQ(moved.rank(), 2 - ranks.rank());  // the key reverses the order
        std::vector<int> values{ranks.rank()};
        moved.all_reduce(values);
        EXPECT_EQ(values[0], 3);
    });
}

}  // namespace
