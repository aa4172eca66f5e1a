// Calls longer than a runtime's queues: whoever enqueues into a full one waits, and no rank may wait for another that
// waits for it. Over the fake driver, with queues of one command.
#include <gmock/gmock.h>

#include <random>

#include "library/registry.hpp"
#include "plan/all_ranks.hpp"
#include "selection/selection.hpp"
#include "tests/device/meeting.hpp"
#include "tests/support/rank_threads.hpp"
#include "tests/support/seed.hpp"

namespace tenon::support {
namespace {

constexpr std::size_t tile_bytes = 4096;

// GPUs that reach each other, with queues of `depth` commands.
std::unique_ptr<device::Provider> gpus_with_queues(Rank count, std::size_t depth) {
    auto machine = std::make_shared<FakeMachine>();
    machine->gpus = count;
    machine->queue_depth = depth;
    return must(fake_cuda_provider(machine));
}

struct Case {
    const Algorithm* algorithm;
    Rank rank_count;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const Algorithm& algorithm : algorithms())
        for (const Rank rank_count : {2, 3, 4})
            if (rank_count != 3 || !algorithm.needs.power_of_two_ranks) all.push_back({&algorithm, rank_count});
    return all;
}

class DeviceQueuesTest : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(, DeviceQueuesTest, ::testing::ValuesIn(cases()), [](const auto& given) {
    return std::string{name_of(given.param.algorithm->collective)} + "_" + std::string{given.param.algorithm->name} +
           "_" + std::to_string(given.param.rank_count);
});

TEST_P(DeviceQueuesTest, NeverStopALongCall) {
    const auto [algorithm, rank_count] = GetParam();
    const auto provider = gpus_with_queues(rank_count, 1);
    const std::uint64_t seed = test_seed();
    Meeting meeting{rank_count};
    on_rank_threads(rank_count, [&](Rank rank) {
        DeviceRank own{
            *provider,
            {.rank = rank, .rank_count = rank_count, .links = {.slot = {tile_bytes}}, .introduce = meeting.of(rank)}};
        constexpr std::size_t count = 30 * tile_bytes / sizeof(float) + 5;
        const Request request{
            .collective = algorithm->collective, .rank = rank, .rank_count = rank_count, .count = {count}};
        const Reference reference{
            {.collective = request.collective, .type = request.type, .rank_count = rank_count, .count = count},
            Values::exact,
            false,
            seed};
        if (Selection::obstacle(*algorithm, request).empty()) {
            const auto plans = must(plans_of_all_ranks(
                *algorithm, request, {.rank_count = rank_count, .has_boards = false, .slot_bytes = tile_bytes}));
            EXPECT_EQ(own.run(plans, request, reference, false), "") << "rank " << rank;
        }
        own.close();
    });
}

// Bytes that rank `from` sends to rank `to`: some pairs nothing, some many tiles.
std::vector<std::size_t> random_lengths(Rank ranks, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    std::vector<std::size_t> lengths;
    for (Rank pair = 0; pair < ranks * ranks; pair++)
        lengths.push_back(random() % 3 == 0 ? 0 : 1 + random() % (20 * tile_bytes));
    return lengths;
}

class DeviceQueuesOfExchanges : public ::testing::TestWithParam<Rank> {};
INSTANTIATE_TEST_SUITE_P(, DeviceQueuesOfExchanges, ::testing::Values(2, 3, 7), ::testing::PrintToStringParamName());

TEST_P(DeviceQueuesOfExchanges, NeverStopMessagesOfAnyLengths) {
    const Rank ranks = GetParam();
    const auto provider = gpus_with_queues(ranks, 1);
    const auto lengths = random_lengths(ranks, test_seed());
    const auto length = [&](Rank from, Rank to) { return lengths[static_cast<std::size_t>(from * ranks + to)]; };
    Meeting meeting{ranks};
    on_rank_threads(ranks, [&](Rank rank) {
        DeviceRank own{*provider,
                       {.rank = rank,
                        .rank_count = ranks,
                        .links = {.exchanges = true, .slot = {tile_bytes}},
                        .introduce = meeting.of(rank)}};
        std::vector<std::unique_ptr<device::Memory>> memory;
        std::vector<DeviceMessage> messages;
        for (Rank peer = 0; peer < ranks; peer++) {
            memory.push_back(own.bench().allocate(length(rank, peer) + 1));
            messages.push_back({true, peer, memory.back()->data(), length(rank, peer)});
            own.bench().put(memory.back()->data(), numbered_bytes(length(rank, peer) + 1,
                                                                  static_cast<unsigned>(rank * ranks + peer)));
            memory.push_back(own.bench().allocate(length(peer, rank) + 1));
            messages.push_back({false, peer, memory.back()->data(), length(peer, rank)});
        }
        const auto call = must(own.execution().prepare(messages));
        must(own.execution().issue(call, *own.bench().stream));
        must(own.execution().synchronize(*own.bench().stream, patience_ms));
        for (const DeviceMessage& message : messages)
            if (!message.is_send && message.bytes != 0) {
                EXPECT_EQ(own.bench().get(message.address, message.bytes),
                          numbered_bytes(message.bytes, static_cast<unsigned>(message.peer * ranks + rank)))
                    << "from rank " << message.peer << " to rank " << rank;
            }
        own.close();
    });
}

}  // namespace
}  // namespace tenon::support
