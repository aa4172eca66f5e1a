// The collectives whose blocks differ in length: all_to_all_v, all_gather_v and reduce_scatter_v, with equal, skewed,
// empty and random blocks, placed with gaps and out of order.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/conformance/cases.hpp"
#include "tests/conformance/local_job.hpp"
#include "tests/support/seed.hpp"

namespace tenon::conformance {
namespace {

using support::GuardedBuffer;
using support::Memory;
using Counts = std::vector<std::size_t>;

enum class Sizes { equal, none, one_rank_gives_all, one_rank_gets_all, random };
constexpr const char* names[] = {"equal", "none", "one_rank_gives_all", "one_rank_gets_all", "random"};

struct World {
    Rank rank_count;
    Sizes sizes;
    DirectAccess access;
    Memory memory;
};

std::string name_of(const World& w) {
    return std::to_string(w.rank_count) + "_ranks_" + names[static_cast<int>(w.sizes)] +
           (w.access == DirectAccess::off ? "_staged" : "") + (w.memory == Memory::tenon ? "_tenon_memory" : "");
}
void PrintTo(const World& w, std::ostream* out) { *out << name_of(w); }

std::vector<World> worlds() {
    std::vector<World> all;
    for (const Rank ranks : {1, 2, 3, 4, 8})
        for (const Sizes sizes :
             {Sizes::equal, Sizes::none, Sizes::one_rank_gives_all, Sizes::one_rank_gets_all, Sizes::random}) {
            all.push_back({ranks, sizes, DirectAccess::off, Memory::ordinary});
            all.push_back({ranks, sizes, DirectAccess::automatic, Memory::tenon});
        }
    return all;
}

// Blocks one after the other, in the order of `order`, with a gap of one element behind each.
Counts offsets_of(const Counts& counts, bool reversed) {
    Counts offsets(counts.size());
    std::size_t at = 1;
    for (std::size_t i = 0; i < counts.size(); i++) {
        const std::size_t block = reversed ? counts.size() - 1 - i : i;
        offsets[block] = at;
        at += counts[block] + 1;
    }
    return offsets;
}

std::size_t total(const Counts& counts) { return std::accumulate(counts.begin(), counts.end(), std::size_t{0}); }

class VariableCounts : public ::testing::TestWithParam<World> {
protected:
    VariableCounts() : random_(support::random_generator()) {
        Config config = config_of_environment();
        config.direct_access = GetParam().access;
        config.slot_memory = {static_cast<std::uint64_t>(ranks()) << 19};
        job_ = std::make_unique<LocalJob>(ranks(), config);
        for (Rank from = 0; from < ranks(); from++) {
            Counts row;
            for (Rank to = 0; to < ranks(); to++) row.push_back(count(from, to));
            counts_.push_back(std::move(row));
        }
    }

    Rank ranks() const { return GetParam().rank_count; }
    std::size_t count(Rank from, Rank to) {
        switch (GetParam().sizes) {
            case Sizes::equal: return 1000;
            case Sizes::none: return 0;
            case Sizes::one_rank_gives_all: return from == ranks() / 2 ? 70'001 : 0;
            case Sizes::one_rank_gets_all: return to == ranks() / 2 ? 70'001 : 0;
            default: return random_() % 3 == 0 ? 0 : random_() % (random_() % 2 == 0 ? 100 : 40'000);
        }
    }
    // Of rank r's block in calls where each rank has one.
    Counts blocks() const { return counts_[static_cast<std::size_t>(ranks() / 2)]; }

    // Any function that tells elements apart.
    static std::uint32_t value(Rank from, Rank to, std::size_t i) {
        return static_cast<std::uint32_t>(from) * 1'000'003U + static_cast<std::uint32_t>(to) * 7'919U +
               static_cast<std::uint32_t>(i) * 31U;
    }
    static std::uint32_t* elements(const GuardedBuffer& buffer) {
        return reinterpret_cast<std::uint32_t*>(buffer.data());
    }
    GuardedBuffer buffer(std::size_t elements) const { return {4 * elements, 4, GetParam().memory}; }

    void run(const std::function<void(Communicator&, Rank)>& body) {
        for (int call = 0; call < 2; call++)
            job_->run([&](Communicator& communicator) { body(communicator, communicator.rank()); });
    }
    static void expect_success(const Result<void>& ran) { ASSERT_TRUE(ran) << ran.error().message; }

    std::mt19937_64 random_;
    std::vector<Counts> counts_;  // [from][to]
    std::unique_ptr<LocalJob> job_;
};

TEST_P(VariableCounts, AllToAllBringsEachBlockToItsPlace) {
    run([&](Communicator& communicator, Rank me) {
        const auto own = static_cast<std::size_t>(me);
        Counts received(static_cast<std::size_t>(ranks()));
        for (std::size_t from = 0; from < received.size(); from++) received[from] = counts_[from][own];
        const Counts& sent = counts_[own];
        const Counts send_offsets = offsets_of(sent, true), receive_offsets = offsets_of(received, me % 2 == 0);
        const std::size_t room = total(received) + received.size() + 1;
        const GuardedBuffer input = buffer(total(sent) + sent.size() + 1), output = buffer(room),
                            expected = buffer(room);
        for (std::size_t to = 0; to < sent.size(); to++)
            for (std::size_t i = 0; i < sent[to]; i++)
                elements(input)[send_offsets[to] + i] = value(me, static_cast<Rank>(to), i);
        for (std::size_t from = 0; from < received.size(); from++)
            for (std::size_t i = 0; i < received[from]; i++)
                elements(expected)[receive_offsets[from] + i] = value(static_cast<Rank>(from), me, i);
        expect_success(communicator.run({.collective = Collective::all_to_all_v,
                                         .type = DataType::uint32,
                                         .send = input.data(),
                                         .receive = output.data(),
                                         .send_counts = sent.data(),
                                         .send_offsets = send_offsets.data(),
                                         .receive_counts = received.data(),
                                         .receive_offsets = receive_offsets.data()}));
        EXPECT_TRUE(std::ranges::equal(output.bytes(), expected.bytes()))
            << "rank " << me << " got other blocks, or the gaps were written";
        EXPECT_EQ(output.damage(), std::nullopt);
    });
}

TEST_P(VariableCounts, AllGatherBringsEachBlockToItsPlaceAlsoInPlace) {
    const Counts counts = blocks(), offsets = offsets_of(counts, true);
    const std::size_t room = total(counts) + counts.size() + 1;
    for (const bool in_place : {false, true})
        run([&](Communicator& communicator, Rank me) {
            const auto own = static_cast<std::size_t>(me);
            const GuardedBuffer input = buffer(counts[own]), output = buffer(room), expected = buffer(room);
            std::uint32_t* from = in_place ? elements(output) + offsets[own] : elements(input);
            for (std::size_t i = 0; i < counts[own]; i++) from[i] = value(me, 0, i);
            for (std::size_t r = 0; r < counts.size(); r++)
                for (std::size_t i = 0; i < counts[r]; i++)
                    elements(expected)[offsets[r] + i] = value(static_cast<Rank>(r), 0, i);
            expect_success(communicator.run({.collective = Collective::all_gather_v,
                                             .type = DataType::uint32,
                                             .send = from,
                                             .receive = output.data(),
                                             .count = counts[own],
                                             .receive_counts = counts.data(),
                                             .receive_offsets = offsets.data()}));
            EXPECT_TRUE(std::ranges::equal(output.bytes(), expected.bytes())) << "rank " << me;
            EXPECT_EQ(output.damage(), std::nullopt);
        });
}

TEST_P(VariableCounts, ReduceScatterGivesEachItsBlockOfTheSumAlsoInPlace) {
    const Counts counts = blocks();
    for (const bool in_place : {false, true})
        run([&](Communicator& communicator, Rank me) {
            const auto own = static_cast<std::size_t>(me);
            const std::size_t first = std::accumulate(counts.begin(), counts.begin() + me, std::size_t{0});
            const GuardedBuffer input = buffer(total(counts)), output = buffer(counts[own]);
            for (std::size_t i = 0; i < total(counts); i++) elements(input)[i] = value(me, 0, i);
            std::uint32_t* to = in_place ? elements(input) + first : elements(output);
            expect_success(communicator.run({.collective = Collective::reduce_scatter_v,
                                             .type = DataType::uint32,
                                             .op = ReduceOp::sum,
                                             .send = input.data(),
                                             .receive = to,
                                             .receive_counts = counts.data()}));
            std::size_t wrong = 0;
            for (std::size_t i = 0; i < counts[own]; i++) {
                std::uint32_t sum = 0;
                for (Rank r = 0; r < ranks(); r++) sum += value(r, 0, first + i);
                if (to[i] != sum) wrong++;
            }
            EXPECT_EQ(wrong, 0U) << "rank " << me;
            EXPECT_EQ(input.damage(), std::nullopt);
            EXPECT_EQ(output.damage(), std::nullopt);
        });
}

INSTANTIATE_TEST_SUITE_P(Worlds, VariableCounts, ::testing::ValuesIn(worlds()),
                         [](const auto& world) { return name_of(world.param); });

// The other types and operations, and that the tree's order is kept, for the one v-collective that reduces.
TEST(ReduceScatterV, EqualsReduceScatterOfEqualBlocksForEveryTypeAndOperation) {
    Config config = config_of_environment();
    config.deterministic = true;
    constexpr Rank ranks = 3;
    LocalJob job(ranks, config);
    const Counts counts(ranks, 2'011);
    for (std::size_t type = 0; type < data_type_count; type++)
        for (std::size_t op = 0; op < reduce_op_count; op++) {
            const support::Shape shape{Collective::reduce_scatter,
                                       static_cast<DataType>(type),
                                       static_cast<ReduceOp>(op),
                                       ranks,
                                       0,
                                       counts[0]};
            const support::Reference reference(shape, support::Values::special, true, support::test_seed());
            job.run([&](Communicator& communicator) {
                const support::CallBuffers buffers(reference, communicator.rank(), false, Memory::ordinary);
                const auto ran = communicator.run({.collective = Collective::reduce_scatter_v,
                                                   .type = shape.type,
                                                   .op = shape.op,
                                                   .send = buffers.send(),
                                                   .receive = buffers.receive(),
                                                   .receive_counts = counts.data()});
                ASSERT_TRUE(ran) << ran.error().message;
                EXPECT_EQ(buffers.problem(), std::nullopt) << in_words(shape);
            });
        }
}

}  // namespace
}  // namespace tenon::conformance
