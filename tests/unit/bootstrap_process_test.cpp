// Ranks as processes: what they share, and what they are told when one of them, or the one that serves, is killed.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <thread>

#include "bootstrap/meeting.hpp"
#include "bootstrap/place.hpp"
#include "bootstrap/wire.hpp"
#include "os/handshake.hpp"
#include "os/memory.hpp"
#include "os/socket.hpp"

// Asked by the leak sanitizer, where there is one. In a forked child the parent's threads, and with them what they own,
// cannot be reached: that is no leak.
static bool in_forked_child = false;
extern "C" int __lsan_is_turned_off() { return in_forked_child; }

namespace tenon {
namespace {

using testing::AllOf;
using testing::HasSubstr;

os::Deadline ample() { return os::Deadline::after_ms(60'000); }

int sockets_of(pid_t process) {
    int count = 0;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/" + std::to_string(process) + "/fd", gone})
        count += std::filesystem::read_symlink(entry, gone).string().starts_with("socket:");
    return count;
}

// A forked process and a socket to it, over which it says short texts.
class Child {
public:
    using Link = os::LocalSocket;

    explicit Child(const std::function<void(Link&)>& body)
        : link_{std::move(Link::pair().value())}, sockets_at_start_{sockets_of(getpid())}, process_{fork()} {
        if (process_ != 0) return;
        body(link_.second);
        _exit(0);
    }
    ~Child() { end(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    static void say(Link& link, std::string_view text) {
        std::array<std::byte, 1024> message{};
        std::transform(text.begin(), text.begin() + std::min(text.size(), message.size() - 1), message.begin(),
                       [](char c) { return std::byte(c); });
        static_cast<void>(link.send(message, ample()));
    }
    std::string hear() {
        std::array<std::byte, 1024> message{};
        const auto heard = link_.first.receive(message, ample());
        return heard ? reinterpret_cast<const char*>(message.data()) : "(nothing: " + heard.error().message + ")";
    }
    // A forked child starts with our sockets; a rank then listens for data, unless there is no network, and reaches the
    // server.
    void await_connection(const UniqueId& id) const {
        const int own = bootstrap::read_unique_id(id)->place.empty() ? 1 : 2;
        const os::Deadline deadline = ample();
        while (sockets_of(process_) < sockets_at_start_ + own && !deadline.passed()) std::this_thread::yield();
    }
    Link& link() { return link_.first; }
    pid_t process() const { return process_; }
    void end() {
        if (process_ <= 0) return;
        kill(process_, SIGKILL);
        waitpid(std::exchange(process_, -1), nullptr, 0);
    }

private:
    std::pair<Link, Link> link_;
    int sockets_at_start_;
    pid_t process_;
};

[[noreturn]] void stay() {
    for (;;) pause();
}

Agreement agreement_of(Rank rank_count) { return {.rank_count = rank_count, .segment = {4096}, .build = "test"}; }

std::string message_of(const Result<std::shared_ptr<const Meeting>>& met) { return met ? "met" : met.error().message; }

void wait_until(const std::atomic<int>& counter, int value) {
    const os::Deadline deadline = ample();
    while (counter.load() < value && !deadline.passed()) std::this_thread::yield();
}

// One rank's life in a job of processes: what it finds must be what the others put there.
std::string live_as_rank(const UniqueId& id, Rank rank, Rank rank_count) {
    const auto arena = os::create_shared_memory("arena", {4096});
    if (!arena) return arena.error().message;
    os::Mapping::shared(*arena, {4096})->data()[0] = static_cast<std::byte>(100 + rank);
    const auto met = meet(id, rank, agreement_of(rank_count), &*arena, ample());
    if (!met) return met.error().message;
    const Meeting& meeting = **met;
    if (meeting.arenas.size() != static_cast<std::size_t>(rank_count)) return "an arena is missing";
    for (const Introduction& who : meeting.ranks) {
        const auto& peers = meeting.arenas[static_cast<std::size_t>(who.arena)];
        if (os::Mapping::shared(peers, {4096})->data()[0] != std::byte(100 + who.rank)) return "a wrong arena";
        if ((who.process == getpid()) != (who.rank == rank)) return "a wrong process";
    }
    const auto segment = os::Mapping::shared(meeting.segment, {4096});
    auto* counters = reinterpret_cast<std::atomic<int>*>(segment->data());
    counters[0]++;
    wait_until(counters[0], rank_count);
    return "all there";
}

TEST(JobOfProcesses, SharesSegmentAndArenas) {
    constexpr Rank rank_count = 5;
    std::uint64_t random = 0;
    ASSERT_TRUE(os::fill_random(std::as_writable_bytes(std::span{&random, 1})));
    const UniqueId id = unique_id_for_job("test " + std::to_string(random));
    std::vector<std::unique_ptr<Child>> children;
    for (Rank rank = rank_count - 1; rank >= 0; rank--)
        children.push_back(std::make_unique<Child>(
            [&id, rank](Child::Link& link) { Child::say(link, live_as_rank(id, rank, rank_count)); }));
    for (auto& child : children) EXPECT_EQ(child->hear(), "all there");
}

NetworkSettings on(const std::string& host) { return {.interface = {}, .host_id = host}; }

// On host h<rank / 2>: shares memory with one other rank, and whoever has links greets the hosts at their other ends.
std::string live_on_a_host(const UniqueId& id, Rank rank, Rank rank_count) {
    const auto met = meet(id, rank, agreement_of(rank_count), nullptr, ample(), on("h" + std::to_string(rank / 2)));
    if (!met) return met.error().message;
    const Meeting& meeting = **met;
    const auto size = static_cast<std::size_t>(rank_count) / 2;
    if (meeting.hosts.size() != size || meeting.ranks[static_cast<std::size_t>(rank)].host != rank / 2)
        return "wrong hosts";
    if ((meeting.links != nullptr) != (rank % 2 == 0)) return "links in the wrong process";
    auto* counters = reinterpret_cast<std::atomic<int>*>(meeting.memory.data());
    counters[0]++;
    wait_until(counters[0], 2);
    if (meeting.links == nullptr) return "greeted";
    for (HostLink& link : *meeting.links)
        if (!link.socket.send(std::as_bytes(std::span{&rank, 1}), ample())) return "a dead link";
    for (HostLink& link : *meeting.links) {
        Rank other = -1;
        if (!link.socket.receive(std::as_writable_bytes(std::span{&other, 1}), ample())) return "a silent link";
        if (other / 2 != link.host) return "a wrong host at the other end";
    }
    return "greeted";
}

TEST(ProcessesOnHosts, ShareMemoryOnEachAndLinksBetween) {
    constexpr Rank rank_count = 10;
    std::uint64_t random = 0;
    ASSERT_TRUE(os::fill_random(std::as_writable_bytes(std::span{&random, 1})));
    const UniqueId id = bootstrap::write_unique_id(
        bootstrap::invitation_for_job("test " + std::to_string(random), "localhost").value());
    std::vector<std::unique_ptr<Child>> children;
    for (Rank rank = rank_count - 1; rank >= 0; rank--)
        children.push_back(std::make_unique<Child>(
            [&id, rank](Child::Link& link) { Child::say(link, live_on_a_host(id, rank, rank_count)); }));
    for (auto& child : children) EXPECT_EQ(child->hear(), "greeted");
}

// A host of the job that introduces itself and rank 2 and says no more, so that it is certain to have been heard.
std::string introduce_a_host(const UniqueId& id) {
    using namespace bootstrap;
    const auto invitation = read_unique_id(id).value();
    const auto place = read_place(invitation.place).value();
    const auto root = os::resolve(place.host, place.port).value().front();
    auto socket = os::TcpSocket::connect(root, ample());
    if (!socket) return socket.error().message;
    auto handshake = os::Handshake::connecting(invitation.secret, wire_version, write_claim({root}));
    for (auto done = handshake.advance(*socket); !done || !*done; done = handshake.advance(*socket)) {
        if (!done) return done.error().message;
        static_cast<void>(os::wait_for(socket->descriptor(), handshake.awaits(), ample(), "a handshake"));
    }
    Bytes welcome = write_welcome({});
    if (auto heard = socket->receive(welcome, ample()); !heard) return heard.error().message;
    const auto answer = read_frame_header(std::span{welcome}.first<frame_header_bytes>());
    if (!answer || answer->kind != FrameKind::welcome) return introduce_a_host(id);  // rank 0 is not there yet
    const Hello hello{.who = {.rank = 2, .process = getpid()},
                      .agreement = agreement_of(4),
                      .texts = digest_of_texts(agreement_of(4)),
                      .patience_ms = 60'000};
    static_cast<void>(socket->send(write_host({{1, 2}, "host1", hello}), ample()));
    static_cast<void>(socket->send(write_rows({{1, 2}, 60'000, {hello.who}}), ample()));
    static auto* const open_until_the_process_ends = new os::TcpSocket{std::move(*socket)};
    return open_until_the_process_ends->descriptor().valid() ? "said" : "nothing";
}

TEST(HostKilled, IsToldToThoseWhoWait) {
    Child first{[&](Child::Link& link) {
        const UniqueId id = create_unique_id(on("h0")).value();
        static_cast<void>(link.send(id.bytes, ample()));
        Child::say(link, message_of(meet(id, 0, agreement_of(4), nullptr, ample(), on("h0"))));
        stay();  // tells those who come late
    }};
    UniqueId id;
    ASSERT_TRUE(first.link().receive(id.bytes, ample()));
    Child second{[&](Child::Link& link) {
        Child::say(link, message_of(meet(id, 1, agreement_of(4), nullptr, ample(), on("h2"))));
    }};
    Child killed{[&](Child::Link& link) {
        Child::say(link, introduce_a_host(id));
        stay();
    }};
    ASSERT_EQ(killed.hear(), "said");
    killed.end();
    const auto told = AllOf(HasSubstr("host1"), HasSubstr("left before"));
    EXPECT_THAT(first.hear(), told);
    EXPECT_THAT(second.hear(), told);
}

TEST(RootKilled, IsToldToOtherHosts) {
    Child root{[&](Child::Link& link) {
        const UniqueId id = create_unique_id(on("h0")).value();
        static_cast<void>(link.send(id.bytes, ample()));
        stay();
    }};
    UniqueId id;
    ASSERT_TRUE(root.link().receive(id.bytes, ample()));
    std::vector<std::unique_ptr<Child>> others;
    for (Rank rank = 1; rank < 4; rank++)
        others.push_back(std::make_unique<Child>([&id, rank](Child::Link& link) {
            const auto network = on("h" + std::to_string(rank));
            Child::say(link, message_of(meet(id, rank, agreement_of(4), nullptr, ample(), network)));
        }));
    for (auto& other : others) other->await_connection(id);
    root.end();
    for (auto& other : others)
        EXPECT_THAT(other->hear(), testing::AnyOf(HasSubstr("left before"), HasSubstr("nobody serves")));
}

// Makes an id, and goes on until it is killed. On request it forks: the child keeps its sockets and ends with `pipe`.
void serve_until_killed(Child::Link& link, const std::array<int, 2>& pipe) {
    ::close(pipe[1]);
    const UniqueId id = create_unique_id().value();
    static_cast<void>(link.send(id.bytes, ample()));
    std::array<std::byte, 1> request;
    if (!link.receive(request, os::Deadline::never())) stay();
    if (fork() == 0) {
        char end = 0;
        static_cast<void>(!read(pipe[0], &end, 1));
        _exit(0);
    }
    Child::say(link, "forked");
    stay();
}

class ServerKilled : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(WithForkedChild, ServerKilled, testing::Bool());

TEST_P(ServerKilled, IsToldToThoseWhoWait) {
    std::array<int, 2> pipe;
    ASSERT_EQ(::pipe(pipe.data()), 0);
    Child server{[&](Child::Link& link) { serve_until_killed(link, pipe); }};
    UniqueId id;
    ASSERT_TRUE(server.link().receive(id.bytes, ample()));
    Child rank{
        [&](Child::Link& link) { Child::say(link, message_of(meet(id, 1, agreement_of(2), nullptr, ample()))); }};
    rank.await_connection(id);
    if (GetParam()) {
        const std::array<std::byte, 1> request{};
        ASSERT_TRUE(server.link().send(request, ample()));
        ASSERT_EQ(server.hear(), "forked");
    }
    const pid_t process = server.process();
    server.end();
    EXPECT_THAT(rank.hear(), AllOf(HasSubstr("process " + std::to_string(process)), HasSubstr("ended")));
    Child latecomer{
        [&](Child::Link& link) { Child::say(link, message_of(meet(id, 0, agreement_of(2), nullptr, ample()))); }};
    EXPECT_THAT(latecomer.hear(), testing::AnyOf(HasSubstr("nobody serves"), HasSubstr("ended")));
    ::close(pipe[0]);
    ::close(pipe[1]);
}

TEST(RankKilled, IsToldToThoseWhoWait) {
    Child first{[&](Child::Link& link) {
        const UniqueId id = create_unique_id().value();
        static_cast<void>(link.send(id.bytes, ample()));
        Child::say(link, message_of(meet(id, 0, agreement_of(4), nullptr, ample())));
        stay();  // tells those who come late
    }};
    UniqueId id;
    ASSERT_TRUE(first.link().receive(id.bytes, ample()));
    Child second{
        [&](Child::Link& link) { Child::say(link, message_of(meet(id, 1, agreement_of(4), nullptr, ample()))); }};
    // Says its hello and nothing more, so that it is certain to have been said when it is killed.
    Child killed{[&](Child::Link& link) {
        const auto invitation = bootstrap::read_unique_id(id);
        auto socket = os::LocalSocket::connect(invitation->socket_name(), ample());
        const bootstrap::Hello hello{.who = {.rank = 2, .process = getpid()},
                                     .agreement = agreement_of(4),
                                     .texts = bootstrap::digest_of_texts(agreement_of(4)),
                                     .patience_ms = 60'000};
        static_cast<void>((*socket)->send(bootstrap::write_proof(invitation->secret), ample()));
        static_cast<void>((*socket)->send(bootstrap::write_hello(hello), ample()));
        Child::say(link, "said");
        stay();
    }};
    ASSERT_EQ(killed.hear(), "said");
    const auto told =
        AllOf(HasSubstr("rank 2 (process " + std::to_string(killed.process()) + ")"), HasSubstr("left before"));
    second.await_connection(id);
    killed.end();
    EXPECT_THAT(first.hear(), told);
    EXPECT_THAT(second.hear(), told);
}

TEST(ForkedChild, EndsCleanlyThoughItsParentServes) {
    Child parent{[](Child::Link& link) {
        const UniqueId id = create_unique_id().value();
        const pid_t forked = fork();
        in_forked_child = forked == 0;
        if (in_forked_child) exit(create_unique_id() ? 7 : 8);  // runs the exit handlers, beside a server of its own
        int status = 0;
        waitpid(forked, &status, 0);
        const bool still_serves = meet(id, 0, agreement_of(1), nullptr, ample()).has_value();
        Child::say(link, WIFEXITED(status) && WEXITSTATUS(status) == 7 && still_serves ? "clean" : "not clean");
    }};
    EXPECT_EQ(parent.hear(), "clean");
}

}  // namespace
}  // namespace tenon
