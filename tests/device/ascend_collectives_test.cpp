// Collectives of the provider `ascend` over the emulated ACL: no call of the runtime once the user's has returned, and
// nothing left behind by many of them.
#include <gmock/gmock.h>

#include "library/registry.hpp"
#include "os/clock.hpp"
#include "os/cpu.hpp"
#include "plan/all_ranks.hpp"
#include "selection/selection.hpp"
#include "tests/device/acl_machine.hpp"
#include "tests/device/meeting.hpp"
#include "tests/support/rank_threads.hpp"

namespace tenon::support {
namespace {

Request request_of(Rank rank, Rank rank_count, std::size_t count) {
    return {.collective = Collective::all_reduce,
            .rank = rank,
            .rank_count = rank_count,
            .count = {count},
            .type = DataType::float32};
}

std::vector<Plan> plans_of(const Request& request, const char* algorithm) {
    return must(plans_of_all_ranks(*find_algorithm(request.collective, algorithm), request,
                                   {.rank_count = request.rank_count, .has_boards = false}));
}

TEST(AscendCollectives, CallTheRuntimeNoMoreOnceTheyAreIssued) {
    constexpr Rank ranks = 3;
    auto provider = must(AclMachine{{.devices_per_server = ranks}}.provider());
    Meeting meeting{ranks};
    on_rank_threads(ranks, [&](Rank rank) {
        const auto introduce = meeting.of(rank);
        DeviceRank own{*provider,
                       {.rank = rank, .rank_count = ranks, .links = {.slot = {16384}}, .introduce = introduce}};
        const auto input = own.bench().allocate(200'000), output = own.bench().allocate(200'000);
        own.bench().put(input->data(), numbered_bytes(200'000, 0));
        const Request request = request_of(rank, ranks, 50'000);
        const auto plans = plans_of(request, "ring");
        const auto call = must(own.execution().prepare(must(own.execution().order(plans, request)), request,
                                                       {input->data(), output->data()}));
        must(introduce({}));
        for (int time = 0; time < 3; time++) must(own.execution().issue(call, *own.bench().stream));
        must(introduce({}));
        if (rank == 0) {
            // All have issued theirs; from here on the devices are by themselves.
            const std::uint64_t calls = emulated_acl().calls();
            const auto deadline = os::Deadline::after_ms(patience_ms);
            while (!emulated_acl().is_idle() && !deadline.passed()) os::yield_core();
            EXPECT_FALSE(deadline.passed()) << "the collectives do not end without the host";
            EXPECT_EQ(emulated_acl().calls(), calls);
        }
        must(introduce({}));
        must(own.execution().synchronize(*own.bench().stream, patience_ms));
        own.close();
    });
    provider.reset();
    expect_nothing_left_of_acl();
}

// Collectives of which some are prepared anew, so that their events and streams come and go.
void expect_nothing_left_by(int calls) {
    constexpr Rank ranks = 2;
    constexpr int calls_each = 20;
    auto provider = must(AclMachine{{.devices_per_server = ranks}}.provider());
    Meeting meeting{ranks};
    AclUsage before, after;
    on_rank_threads(ranks, [&](Rank rank) {
        const auto introduce = meeting.of(rank);
        DeviceRank own{*provider,
                       {.rank = rank, .rank_count = ranks, .links = {.slot = {16384}}, .introduce = introduce}};
        const auto buffer = own.bench().allocate(40'000);
        own.bench().put(buffer->data(), std::vector<std::byte>(40'000));
        const auto batch = [&](const char* algorithm, std::size_t count) {
            const Request request = request_of(rank, ranks, count);
            const auto plans = plans_of(request, algorithm);
            const auto plan = must(own.execution().order(plans, request));
            const auto call = must(own.execution().prepare(plan, request, {buffer->data(), buffer->data()}));
            for (int n = 0; n < calls_each; n++) must(own.execution().issue(call, *own.bench().stream));
            must(own.execution().synchronize(*own.bench().stream, patience_ms));
        };
        batch("two_shot", 10'000);  // the largest: streams and scratch are there from now on
        batch("ring", 10'000);
        must(introduce({}));
        if (rank == 0) emulated_acl().usage(&before);
        must(introduce({}));
        for (int done = 0; done < calls; done += calls_each)
            batch(done % 40 == 0 ? "ring" : "two_shot", static_cast<std::size_t>(1 + done % 10'000));
        must(introduce({}));
        if (rank == 0) emulated_acl().usage(&after);
        must(introduce({}));
        own.close();
    });
    EXPECT_EQ(after, before);
    provider.reset();
    expect_nothing_left_of_acl();
}

TEST(AscendCollectives, LeaveNothingBehind) { expect_nothing_left_by(300); }
TEST(ExhaustiveAscendCollectives, LeaveNothingBehind) { expect_nothing_left_by(10'000); }

}  // namespace
}  // namespace tenon::support
