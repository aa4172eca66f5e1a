// What strangers send to the doors of a meeting of several hosts, at the root and below it, harms nobody.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <optional>
#include <random>
#include <thread>

#include "bootstrap/branches.hpp"
#include "bootstrap/frames.hpp"
#include "bootstrap/place.hpp"
#include "os/handshake.hpp"
#include "tests/support/seed.hpp"

namespace tenon::bootstrap {
namespace {

using Met = Result<std::shared_ptr<const Meeting>>;

os::Deadline ample() { return os::Deadline::after_ms(60'000); }

os::TcpSocket connect(const os::InternetAddress& to) {
    auto socket = os::TcpSocket::connect(to, ample());
    EXPECT_TRUE(socket) << socket.error().message;
    return std::move(socket).value_or(os::TcpSocket{});
}

// The connecting side's part, with a claim that leads nowhere.
Result<void> shake_hands(os::StreamSocket& socket, os::Handshake handshake) {
    for (;;) {
        const auto done = handshake.advance(socket);
        if (!done) return std::unexpected(done.error());
        if (*done) return {};
        if (auto ready = os::wait_for(socket.descriptor(), handshake.awaits(), ample(), "a handshake"); !ready)
            return ready;
    }
}
Result<void> shake_hands(os::StreamSocket& socket, const Secret& secret, std::uint32_t version = wire_version) {
    const auto nowhere = os::resolve("127.0.0.1", 1).value().front();
    return shake_hands(socket, os::Handshake::connecting(secret, version, write_claim({nowhere})));
}

struct Answer {
    os::TcpSocket socket;  // where the node took us in
    std::optional<os::InternetAddress> elsewhere;
};
// What the node at this address says to a host that comes now.
Answer ask(const os::InternetAddress& node, const Secret& secret) {
    Answer answer{connect(node), {}};
    EXPECT_TRUE(shake_hands(answer.socket, secret));
    FrameReader reader;
    for (;;) {
        auto frame = reader.read(answer.socket);
        if (frame && !*frame && os::wait_for(answer.socket.descriptor(), POLLIN, ample(), "an answer")) continue;
        if (frame && *frame && (*frame)->kind == FrameKind::elsewhere)
            answer.elsewhere = read_elsewhere((*frame)->payload).value().address;
        return answer;
    }
}

// A job of which one rank is missing, with more hosts than the root takes children, and its two kinds of doors.
class WaitingJob {
public:
    static constexpr Rank rank_count = Branches::fan_out + 4;

    WaitingJob() {
        for (Rank rank = 0; rank + 1 < rank_count; rank++) threads_.emplace_back([this, rank] { come(rank); });
        const auto place = read_place(invitation_.place).value();
        root_ = os::resolve(place.host, place.port).value().front();
        // We take up room, as hosts that lead nowhere, until the root is full and sends us to one of its true children.
        std::vector<os::TcpSocket> held;
        for (const auto deadline = ample(); !child_.valid() && !deadline.passed();) {
            auto answer = ask(root_, secret());
            if (answer.elsewhere && answer.elsewhere->port != 1)
                child_ = *answer.elsewhere;
            else if (!answer.elsewhere && held.size() + 1 < Branches::fan_out)
                held.push_back(std::move(answer.socket));
            std::this_thread::yield();
        }
        EXPECT_TRUE(child_.valid());
    }
    ~WaitingJob() {
        for (std::thread& thread : threads_)
            if (thread.joinable()) thread.join();
    }
    const Secret& secret() const { return invitation_.secret; }
    std::vector<os::InternetAddress> doors() const { return {root_, child_}; }

    void expect_to_meet() {
        come(rank_count - 1);
        for (std::thread& thread : threads_) thread.join();
        for (const Met& one : met_) EXPECT_TRUE(one) << one.error().message;
    }

private:
    void come(Rank rank) {
        const Agreement agreement{.rank_count = rank_count, .segment = {4096}, .build = "1"};
        const NetworkSettings network{.interface = {}, .host_id = "h" + std::to_string(rank)};
        met_[static_cast<std::size_t>(rank)] = meet(id_, rank, agreement, nullptr, ample(), network);
    }

    const UniqueId id_ = create_unique_id({.interface = {}, .host_id = "h0"}).value();
    const Invitation invitation_ = read_unique_id(id_).value();
    os::InternetAddress root_, child_;
    std::vector<Met> met_{rank_count, fail(Status::internal_error, "not run")};
    std::vector<std::thread> threads_;
};

// Also one who speaks the protocol gets nothing but the challenge.
void expect_dropped(os::TcpSocket& stranger) {
    std::array<std::byte, 64> answer;
    const auto received = stranger.receive(answer, ample());
    ASSERT_FALSE(received) << "a stranger got an answer";
    EXPECT_EQ(received.error().status, Status::remote_error);
}

// What the connecting side said in a handshake of some other time.
std::vector<std::byte> recorded(const Secret& secret) {
    auto ends = os::LocalSocket::pair().value();
    auto accepting = os::Handshake::accepting(secret, wire_version);
    auto connecting = os::Handshake::connecting(secret, wire_version, {});
    EXPECT_TRUE(accepting.advance(ends.first));
    EXPECT_TRUE(connecting.advance(ends.second));
    std::vector<std::byte> said(4096);
    said.resize(ends.first.receive_some(said).value());
    EXPECT_GT(said.size(), 64U);
    return said;
}

// How many lines tell of a stranger.
std::size_t told_of(const std::string& log) {
    const std::string words = "connected to the rendezvous and was dropped";
    std::size_t count = 0;
    for (auto at = log.find(words); at != std::string::npos; at = log.find(words, at + 1)) count++;
    return count;
}

TEST(TcpStrangers, WithGarbageAreDroppedAndLoggedOnceAtEachDoor) {
    auto random = support::random_generator();
    WaitingJob job;
    testing::internal::CaptureStderr();
    for (const auto& door : job.doors())
        for (int round = 0; round < 20; round++) {
            os::TcpSocket stranger = connect(door);
            std::vector<std::byte> garbage(200 + random() % 5000);
            for (std::byte& byte : garbage) byte = static_cast<std::byte>(random());
            static_cast<void>(stranger.send(garbage, ample()));
            expect_dropped(stranger);
        }
    job.expect_to_meet();
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_EQ(told_of(log), job.doors().size()) << log;
}

TEST(TcpStrangers, WithTheWrongSecretAreDropped) {
    WaitingJob job;
    Secret wrong = job.secret();
    wrong.bytes.back() ^= std::byte{1};
    for (const auto& door : job.doors()) {
        os::TcpSocket stranger = connect(door);
        EXPECT_FALSE(shake_hands(stranger, wrong));
    }
    job.expect_to_meet();
}

TEST(TcpStrangers, WhoReplayAreDroppedAndLoggedOnceAtEachDoor) {
    WaitingJob job;
    const auto said = recorded(job.secret());
    testing::internal::CaptureStderr();
    for (const auto& door : job.doors())
        for (int round = 0; round < 3; round++) {
            os::TcpSocket stranger = connect(door);
            ASSERT_TRUE(stranger.send(said, ample()));
            expect_dropped(stranger);
        }
    job.expect_to_meet();
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_EQ(told_of(log), job.doors().size()) << log;
}

TEST(TcpStrangers, WhoStopHalfWayDelayNobody) {
    WaitingJob job;
    const auto said = recorded(job.secret());
    std::vector<os::TcpSocket> waiting;
    for (const auto& door : job.doors())
        for (std::size_t bytes = 0; bytes < said.size(); bytes += 7) {
            os::TcpSocket stranger = connect(door);
            ASSERT_TRUE(stranger.send(std::span{said}.first(bytes), ample()));
            if (bytes % 2 == 0) waiting.push_back(std::move(stranger));
        }
    job.expect_to_meet();
}

TEST(TcpStrangers, WhoComeInCrowdsDelayNobody) {
    WaitingJob job;
    std::vector<os::TcpSocket> crowd;
    for (const auto& door : job.doors())
        for (int i = 0; i < 300; i++) crowd.push_back(connect(door));
    crowd.clear();
    job.expect_to_meet();
}

// A host that comes to a door, and waits for what it is told there.
class Comer {
public:
    Comer(const os::InternetAddress& door, const Secret& secret) : socket_{connect(door)} {
        handshake_.emplace(os::Handshake::connecting(secret, wire_version, write_claim({door})));
    }
    bool has_answer() {
        if (handshake_) {
            const auto done = handshake_->advance(socket_);
            EXPECT_TRUE(done) << done.error().message;
            if (!done.value_or(false)) return false;
            handshake_.reset();
        }
        if (!answer_) answer_ = reader_.read(socket_).value_or(std::nullopt);
        return answer_.has_value();
    }

private:
    os::TcpSocket socket_;
    std::optional<os::Handshake> handshake_;
    FrameReader reader_;
    std::optional<Frame> answer_;
};

// However many come at once: strangers who say nothing, and behind them hosts of the job.
TEST(TcpStrangers, AndHostsInCrowdsAreNotAllHeardAtOnce) {
    const Secret secret{};
    Branches branches{{}, "h0"};
    branches.open(os::TcpListener::listen(os::resolve("127.0.0.1", 0).value().front()).value().value(), secret, 2'500);
    const auto door = branches.listener().address();
    std::vector<os::TcpSocket> crowd;
    for (int i = 0; i < 60; i++) crowd.push_back(connect(door));
    std::vector<Comer> hosts;
    for (int i = 0; i < 60; i++) hosts.emplace_back(door, secret);
    std::size_t most = 0, answered = 0;
    for (const auto deadline = ample(); answered < hosts.size() && !deadline.passed();) {
        std::vector<pollfd> watched;
        branches.watch(watched);
        most = std::max(most, watched.size());
        ASSERT_TRUE(os::wait_ready(watched, os::Deadline::never(), 10));
        ASSERT_TRUE(branches.serve([](Branch&, Frame&) { return Result<void>{}; }));
        answered = static_cast<std::size_t>(std::ranges::count_if(hosts, &Comer::has_answer));
    }
    EXPECT_EQ(answered, hosts.size());
    EXPECT_EQ(branches.children().size(), Branches::fan_out) << "the others were sent on";
    EXPECT_LE(most, 1 + Branches::fan_out + Branches::most_newcomers) << "with the door itself";
}

// Who knows the secret can end a meeting, as any rank can; all are told the same.
TEST(TcpStrangers, OfTheJobThatTalkNonsenseEndIt) {
    const UniqueId id = create_unique_id({.interface = {}, .host_id = "h0"}).value();
    const auto place = read_place(read_unique_id(id)->place).value();
    Met met = fail(Status::internal_error, "not run");
    std::thread rank{[&] {
        met = meet(id, 0, {.rank_count = 2, .segment = {4096}}, nullptr, ample(), {.interface = {}, .host_id = "h0"});
    }};
    auto socket = connect(os::resolve(place.host, place.port).value().front());
    ASSERT_TRUE(shake_hands(socket, read_unique_id(id)->secret));
    ASSERT_TRUE(socket.send(std::vector<std::byte>(64, std::byte{0x5a}), ample()));
    rank.join();
    ASSERT_FALSE(met);
    EXPECT_THAT(met.error().message, testing::HasSubstr("malformed"));
}

// Builds of different times: whoever is the older, both sides say what the other speaks. Here the stranger's is newer.
void expect_both_were_told(const Result<void>& stranger, const Met& rank) {
    ASSERT_FALSE(stranger);
    EXPECT_EQ(stranger.error().status, Status::mismatch);
    ASSERT_FALSE(rank);
    EXPECT_EQ(rank.error().status, Status::mismatch);
    EXPECT_THAT(rank.error().message,
                testing::AllOf(testing::HasSubstr(fmt::format("the other side speaks version {} of", wire_version + 1)),
                               testing::HasSubstr("use one build of Tenon")));
}

Met meet_as(const UniqueId& id, Rank rank) {
    return meet(id, rank, {.rank_count = 2, .segment = {4096}}, nullptr, ample(),
                {.interface = {}, .host_id = "h" + std::to_string(rank)});
}

TEST(TcpVersions, OfAHostThatComesAreToldOnBothSides) {
    const UniqueId id = create_unique_id({.interface = {}, .host_id = "h0"}).value();
    const auto invitation = read_unique_id(id).value();
    Met met = fail(Status::internal_error, "not run");
    std::thread root{[&] { met = meet_as(id, 0); }};
    const auto place = read_place(invitation.place).value();
    auto socket = connect(os::resolve(place.host, place.port).value().front());
    const auto shaken = shake_hands(socket, invitation.secret, wire_version + 1);
    root.join();
    expect_both_were_told(shaken, met);
}

TEST(TcpVersions, OfTheRootAreToldOnBothSides) {
    auto door = os::TcpListener::listen(os::resolve("127.0.0.1", 0).value().front()).value().value();
    const Invitation invitation{
        .secret = {}, .meeting = os::now_ns(), .is_by_job = true, .place = door.address().text()};
    Met met = fail(Status::internal_error, "not run");
    std::thread host{[&] { met = meet_as(write_unique_id(invitation), 1); }};
    ASSERT_TRUE(os::wait_for(door.descriptor(), POLLIN, ample(), "a host"));
    auto socket = door.accept().value().value();
    const auto shaken = shake_hands(socket, os::Handshake::accepting(invitation.secret, wire_version + 1));
    host.join();
    expect_both_were_told(shaken, met);
}

}  // namespace
}  // namespace tenon::bootstrap
