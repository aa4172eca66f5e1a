// Ranks as threads meet, or are told why not. Each test makes its own id, so tests run beside each other.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "bootstrap/wire.hpp"
#include "os/memory.hpp"
#include "os/socket.hpp"
#include "tests/unit/meeting_cases.hpp"

namespace tenon {
namespace {

using bootstrap::read_unique_id;
using testing::AllOf;
using testing::HasSubstr;

UniqueId fresh_id() {
    const auto id = create_unique_id();
    EXPECT_TRUE(id) << id.error().message;
    return id.value_or(UniqueId{});
}

std::string fresh_job() {
    std::uint64_t random = 0;
    EXPECT_TRUE(os::fill_random(std::as_writable_bytes(std::span{&random, 1})));
    return "test job " + std::to_string(random);
}

// One rank of a job: what it says, and how long it waits.
struct Guest {
    Rank rank;
    Agreement agreement;
    os::Deadline deadline = os::Deadline::after_ms(ample_ms);
};

// All at once, each on a thread of its own.
std::vector<Met> meet_all(const UniqueId& id, const std::vector<Guest>& guests) {
    std::vector<Met> met(guests.size(), fail(Status::internal_error, "not run"));
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < guests.size(); i++)
        threads.emplace_back(
            [&, i] { met[i] = meet(id, guests[i].rank, guests[i].agreement, nullptr, guests[i].deadline); });
    for (std::thread& thread : threads) thread.join();
    return met;
}

std::vector<Guest> guests_of(const std::vector<Rank>& ranks, Rank rank_count) {
    std::vector<Guest> guests;
    for (const Rank rank : ranks) guests.push_back({rank, agreement_of(rank_count)});
    return guests;
}

std::vector<Guest> whole_job(Rank rank_count) {
    std::vector<Guest> guests;
    for (Rank rank = 0; rank < rank_count; rank++) guests.push_back({rank, agreement_of(rank_count)});
    return guests;
}

void expect_all_met(const std::vector<Met>& met) {
    for (const Met& one : met) {
        ASSERT_TRUE(one) << one.error().message;
        EXPECT_EQ(one->get(), met[0]->get()) << "ranks of one process share what they met for";
        ASSERT_EQ((*one)->ranks.size(), met.size());
    }
    for (std::size_t rank = 0; rank < met.size(); rank++) {
        const Introduction& who = (*met[0])->ranks[rank];
        EXPECT_EQ(who.rank, static_cast<Rank>(rank));
        EXPECT_EQ(who.process, os::process_id());
        EXPECT_EQ(who.process_token, os::process_token());
        EXPECT_TRUE(who.cores.any());
    }
    EXPECT_EQ(os::shared_memory_bytes((*met[0])->segment)->value, 4096U);
}

void expect_all_refused(const std::vector<Met>& met, Status status, const testing::Matcher<std::string>& message) {
    for (const Met& one : met) {
        ASSERT_FALSE(one);
        EXPECT_EQ(one.error().status, status) << one.error().message;
        EXPECT_THAT(one.error().message, message);
    }
}

class JobOfThreads : public testing::TestWithParam<Rank> {};
INSTANTIATE_TEST_SUITE_P(Sizes, JobOfThreads, testing::Values(1, 2, 8, 64, 1000));

TEST_P(JobOfThreads, MeetsByUniqueId) { expect_all_met(meet_all(fresh_id(), whole_job(GetParam()))); }

TEST_P(JobOfThreads, MeetsByJobName) {
    const UniqueId id = unique_id_for_job(fresh_job());
    expect_all_met(meet_all(id, whole_job(GetParam())));
    // A name serves again at once.
    expect_all_met(meet_all(id, whole_job(GetParam())));
}

std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator{"/proc/self/fd"}, std::filesystem::directory_iterator{});
}

TEST(Meet, NeedsFewDescriptorsAndKeepsNone) {
    const auto before = open_descriptors();
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const rlimit usual = limit;
    limit.rlim_cur = static_cast<rlim_t>(before) + 16;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    auto met = meet_all(fresh_id(), whole_job(200));
    setrlimit(RLIMIT_NOFILE, &usual);
    expect_all_met(met);
    met.clear();
    // What may be left is the server's wake signal, until the next meeting of this process.
    const os::Deadline deadline = os::Deadline::after_ms(ample_ms);
    while (open_descriptors() > before + 1 && !deadline.passed()) std::this_thread::yield();
    EXPECT_LE(open_descriptors(), before + 1);
}

TEST(Meet, PassesAnArenaOncePerProcess) {
    const UniqueId id = fresh_id();
    const auto arena = os::create_shared_memory("arena", {12288});
    ASSERT_TRUE(arena);
    std::vector<Met> met(4, fail(Status::internal_error, "not run"));
    std::vector<std::thread> threads;
    for (Rank rank = 0; rank < 4; rank++)
        threads.emplace_back([&, rank] {
            met[static_cast<std::size_t>(rank)] =
                meet(id, rank, agreement_of(4), &*arena, os::Deadline::after_ms(ample_ms));
        });
    for (std::thread& thread : threads) thread.join();
    expect_all_met(met);
    ASSERT_EQ((*met[0])->arenas.size(), 1U);
    EXPECT_EQ(os::shared_memory_bytes((*met[0])->arenas[0])->value, 12288U);
    for (const Introduction& who : (*met[0])->ranks) EXPECT_EQ(who.arena, 0);
}

TEST(Meet, RefusesARankThatComesTwice) {
    expect_all_refused(meet_all(fresh_id(), guests_of({0, 1, 1}, 3)), Status::mismatch,
                       AllOf(HasSubstr("rank 1 came twice"), HasSubstr("its own number")));
    expect_all_refused(meet_all(unique_id_for_job(fresh_job()), guests_of({0, 0}, 2)), Status::mismatch,
                       HasSubstr("rank 0 came twice"));
}

TEST(Meet, RefusesARankOutOfRange) {
    expect_all_refused(meet_all(fresh_id(), guests_of({0, 2}, 2)), Status::invalid_argument,
                       AllOf(HasSubstr("rank 2"), HasSubstr("ranks 0 to 1")));
    expect_all_refused(meet_all(fresh_id(), guests_of({-1}, 2)), Status::invalid_argument, HasSubstr("rank -1"));
    expect_all_refused(meet_all(fresh_id(), guests_of({0}, 0)), Status::invalid_argument, HasSubstr("has 0 ranks"));
}

struct Disagreement {
    std::function<void(Agreement&)> change;
    std::string ours, theirs;
};

TEST(Meet, NamesBothSidesOfADisagreement) {
    const Disagreement disagreements[] = {
        {[](Agreement& a) { a.rank_count = 4; }, "3", "4"},
        {[](Agreement& a) { a.segment = {8192}; }, "4096", "8192"},
        {[](Agreement& a) { a.build = "2.0"; }, "1.0 test", "2.0"},
        {[](Agreement& a) { a.configuration = "A=1\nB=3\n"; }, "has B=2", "has B=3"},
        {[](Agreement& a) { a.configuration = "A=1\n"; }, "has B=2", "does not have it"},
    };
    for (const Disagreement& disagreement : disagreements) {
        auto guests = whole_job(3);
        disagreement.change(guests[2].agreement);
        expect_all_refused(meet_all(fresh_id(), guests), Status::mismatch,
                           AllOf(HasSubstr("rank 2 (process "), HasSubstr(disagreement.ours),
                                 HasSubstr(disagreement.theirs), testing::ContainsRegex("rank [01] \\(process ")));
    }
}

TEST(Meet, SeesADifferenceBeyondWhatItCanQuote) {
    auto guests = whole_job(2);
    for (Guest& guest : guests) guest.agreement.configuration = std::string(3000, 'x');
    guests[1].agreement.configuration.back() = 'y';
    expect_all_refused(meet_all(fresh_id(), guests), Status::mismatch, HasSubstr("the same files"));
}

TEST(Meet, TellsLatecomersToo) {
    const UniqueId id = fresh_id();
    expect_all_refused(meet_all(id, guests_of({0, 1, 1}, 3)), Status::mismatch, HasSubstr("rank 1 came twice"));
    expect_all_refused(meet_all(id, guests_of({2}, 3)), Status::mismatch, HasSubstr("rank 1 came twice"));
}

TEST(Meet, ByNameWorksAgainAfterARefusal) {
    const UniqueId id = unique_id_for_job(fresh_job());
    expect_all_refused(meet_all(id, guests_of({0, 1, 1}, 3)), Status::mismatch, HasSubstr("came twice"));
    expect_all_met(meet_all(id, whole_job(3)));
}

TEST(Meet, NamesWhoNeverCame) {
    auto guests = guests_of({0, 2}, 4);
    for (Guest& guest : guests) guest.deadline = os::Deadline::after_ms(200);
    expect_all_refused(meet_all(fresh_id(), guests), Status::timeout,
                       AllOf(HasSubstr("ranks 1 and 3 of 4 never came"), HasSubstr("TENON_INIT_TIMEOUT_MS")));
}

TEST(Meet, TheShortestPatienceCountsForAll) {
    auto guests = guests_of({0, 1}, 3);
    guests[1].deadline = os::Deadline::after_ms(200);
    expect_all_refused(meet_all(fresh_id(), guests), Status::timeout, HasSubstr("rank 2 of 3 never came"));
}

TEST(Meet, SaysThatRankZeroNeverCame) {
    const auto met = meet(unique_id_for_job(fresh_job()), 1, agreement_of(2), nullptr, os::Deadline::after_ms(100));
    ASSERT_FALSE(met);
    EXPECT_EQ(met.error().status, Status::timeout);
    EXPECT_THAT(met.error().message, AllOf(HasSubstr("rank 0 of 2 never came"), HasSubstr("on this host")));
}

TEST(Meet, AnAbortEndsItForAll) {
    std::atomic<bool> abort{false};
    auto guests = guests_of({0, 1, 2}, 4);
    guests[1].deadline = guests[1].deadline.or_abort(abort);
    std::vector<Met> met;
    const UniqueId id = fresh_id();
    std::thread all{[&] { met = meet_all(id, guests); }};
    abort = true;
    all.join();
    EXPECT_EQ(met[1].error().status, Status::aborted);
    for (const std::size_t other : {0U, 2U}) {
        ASSERT_FALSE(met[other]);
        EXPECT_EQ(met[other].error().status, Status::remote_error);
        EXPECT_THAT(met[other].error().message, AnyOf(HasSubstr("rank 1"), HasSubstr("serves this unique id")));
    }
}

TEST(Meet, AnAbortWorksWhileNobodyElseComes) {
    const std::atomic<bool> abort{true};
    const auto met =
        meet(unique_id_for_job(fresh_job()), 1, agreement_of(2), nullptr, os::Deadline::never().or_abort(abort));
    ASSERT_FALSE(met);
    EXPECT_EQ(met.error().status, Status::aborted);
}

TEST(Meet, RefusesWhatIsNoUniqueId) {
    EXPECT_THAT(meet(UniqueId{}, 0, agreement_of(1), nullptr, os::Deadline::never()).error().message,
                HasSubstr("not a unique id"));
    UniqueId damaged = fresh_id();
    damaged.bytes[40] = std::byte{0};  // in the name of the meeting
    EXPECT_THAT(meet(damaged, 0, agreement_of(1), nullptr, os::Deadline::never()).error().message,
                HasSubstr("damaged"));
}

TEST(Meet, AnIdServesOnce) {
    const UniqueId id = fresh_id();
    expect_all_met(meet_all(id, whole_job(2)));
    expect_all_refused(meet_all(id, whole_job(2)), Status::remote_error, HasSubstr("make a new one"));
}

os::LocalSocket stranger_at(const UniqueId& id) {
    auto socket = os::LocalSocket::connect(read_unique_id(id)->socket_name(), os::Deadline::after_ms(ample_ms));
    EXPECT_TRUE(socket && *socket);
    return std::move(**socket);
}

void expect_dropped(os::LocalSocket& stranger) {
    std::array<std::byte, 1> answer;
    const auto received = stranger.receive(answer, os::Deadline::after_ms(ample_ms));
    ASSERT_FALSE(received) << "a stranger got an answer";
    EXPECT_EQ(received.error().status, Status::remote_error);
}

TEST(Strangers, WithGarbageAreDropped) {
    const UniqueId id = fresh_id();
    os::LocalSocket stranger = stranger_at(id);
    const std::vector<std::byte> garbage(100'000, std::byte{0x5a});
    static_cast<void>(stranger.send(garbage, os::Deadline::after_ms(ample_ms)));
    expect_dropped(stranger);
    expect_all_met(meet_all(id, whole_job(2)));
}

TEST(Strangers, WithTheWrongSecretAreDropped) {
    const UniqueId id = fresh_id();
    os::LocalSocket stranger = stranger_at(id);
    auto secret = read_unique_id(id)->secret;
    secret.bytes.back() ^= std::byte{1};
    ASSERT_TRUE(stranger.send(bootstrap::write_proof(secret), os::Deadline::after_ms(ample_ms)));
    expect_dropped(stranger);
    expect_all_met(meet_all(id, whole_job(2)));
}

TEST(Strangers, WhoSayNothingDelayNobody) {
    const UniqueId id = fresh_id();
    std::vector<os::LocalSocket> strangers;
    for (int i = 0; i < 200; i++) strangers.push_back(stranger_at(id));
    const std::uint64_t start_ns = os::now_ns();
    expect_all_met(meet_all(id, whole_job(8)));
    EXPECT_LT(os::now_ns() - start_ns, 5'000'000'000U) << "far below a stranger's patience";
    for (os::LocalSocket& stranger : strangers) expect_dropped(stranger);
}

TEST(Strangers, OfAnotherVersionAreNamed) {
    const UniqueId id = fresh_id();
    os::LocalSocket other = stranger_at(id);
    const auto deadline = os::Deadline::after_ms(ample_ms);
    ASSERT_TRUE(other.send(bootstrap::write_proof(read_unique_id(id)->secret, 99), deadline));
    std::array<std::byte, bootstrap::frame_header_bytes> head;
    ASSERT_TRUE(other.receive(head, deadline));
    const auto header = bootstrap::read_frame_header(head);
    ASSERT_TRUE(header);
    ASSERT_EQ(header->kind, bootstrap::FrameKind::refusal);
    std::vector<std::byte> payload(header->payload_bytes);
    ASSERT_TRUE(other.receive(payload, deadline));
    EXPECT_THAT(bootstrap::read_refusal(payload).message, AllOf(HasSubstr("version 99"), HasSubstr("one build")));
}

}  // namespace
}  // namespace tenon
