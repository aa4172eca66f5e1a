// Ranks of several hosts meet, or are told why not. The hosts are made out of this one (NetworkSettings::host_id), and
// the ranks are threads; what lies between the hosts is TCP.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <numeric>
#include <set>
#include <thread>

#include "bootstrap/branches.hpp"
#include "bootstrap/place.hpp"
#include "bootstrap/wire.hpp"
#include "tests/unit/meeting_cases.hpp"

namespace tenon {
namespace {

using bootstrap::read_unique_id;
using testing::AllOf;
using testing::HasSubstr;

os::Deadline ample() { return os::Deadline::after_ms(ample_ms); }

NetworkSettings on(const std::string& host) { return {.interface = {}, .host_id = host}; }

struct Guest {
    Rank rank;
    NetworkSettings network;
    Agreement agreement;
    os::Deadline deadline = ample();
};

// All at once, each on a thread of its own.
std::vector<Met> meet_all(const UniqueId& id, const std::vector<Guest>& guests) {
    std::vector<Met> met(guests.size(), fail(Status::internal_error, "not run"));
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < guests.size(); i++)
        threads.emplace_back([&, i] {
            const Guest& guest = guests[i];
            met[i] = meet(id, guest.rank, guest.agreement, nullptr, guest.deadline, guest.network);
        });
    for (std::thread& thread : threads) thread.join();
    return met;
}

// Rank r is on host r / per_host, called "h0", "h1", ...
std::vector<Guest> whole_job(Rank rank_count, Rank per_host) {
    std::vector<Guest> guests;
    for (Rank rank = 0; rank < rank_count; rank++)
        guests.push_back({rank, on("h" + std::to_string(rank / per_host)), agreement_of(rank_count)});
    return guests;
}

std::string fresh_job() {
    std::uint64_t random = 0;
    EXPECT_TRUE(os::fill_random(std::as_writable_bytes(std::span{&random, 1})));
    return "test job " + std::to_string(random);
}

UniqueId fresh_id(const std::string& host = "h0") {
    const auto id = create_unique_id(on(host));
    EXPECT_TRUE(id) << id.error().message;
    return id.value_or(UniqueId{});
}

UniqueId named_id(const std::string& place) {
    return bootstrap::write_unique_id(bootstrap::invitation_for_job(fresh_job(), place).value());
}

// Listens at the job's first port before its root does, and passes on what comes to the port that the root takes then,
// and what that answers, like somebody who wants to sit in between.
class Between {
public:
    Between(std::uint16_t port, std::uint16_t next) : next_{os::resolve("127.0.0.1", next)->front()} {
        auto listening = os::TcpListener::listen(os::resolve("127.0.0.1", port)->front());
        if (!listening || !*listening) return;
        listener_ = std::move(**listening);
        thread_ = std::thread{[this] { run(); }};
    }
    ~Between() { stop(); }
    void stop() {
        stopped_.store(true);
        if (thread_.joinable()) thread_.join();
    }
    bool listens() const { return thread_.joinable(); }
    std::size_t came() const { return came_; }             // after stop(): connections that were passed on
    std::size_t most_heard() const { return most_heard_; }  // the most that the root has said to one of them

private:
    void run() {
        while (!stopped_.load()) {
            auto guest = listener_.accept();
            if (!guest || !*guest) {
                os::wait_readable(std::array{listener_.descriptor().number()}, 1000);
                continue;
            }
            if (auto root = reach_root()) {
                came_++;
                pass_on(**guest, *root);
            }
        }
    }
    // The root may be slower than a guest, and not listen yet.
    Result<os::TcpSocket> reach_root() {
        const auto deadline = os::Deadline::after_ms(1000);
        while (true) {
            auto root = os::TcpSocket::connect(next_, deadline);
            if (root || deadline.passed() || stopped_.load()) return root;
            std::this_thread::yield();
        }
    }
    void pass_on(os::TcpSocket& guest, os::TcpSocket& root) {
        std::size_t heard = 0;
        std::array<std::byte, 4096> bytes;
        while (!stopped_.load()) {
            for (auto [from, to] : {std::pair{&guest, &root}, std::pair{&root, &guest}}) {
                const auto got = from->receive_some(bytes);
                if (!got || !to->send(std::span{bytes}.first(*got), os::Deadline::after_ms(1000))) return;
                if (from == &root) heard += *got;
                most_heard_ = std::max(most_heard_, heard);
            }
            os::wait_readable(std::array{guest.descriptor().number()}, 1000);
        }
    }
    os::InternetAddress next_;
    os::TcpListener listener_;
    std::atomic<bool> stopped_{false};
    std::size_t came_ = 0, most_heard_ = 0;
    std::thread thread_;
};

std::string fresh_path() { return (std::filesystem::temp_directory_path() / fresh_job()).string(); }

// By host, one of its ranks' meetings: the ranks of a host are threads here, and share one.
std::vector<const Meeting*> by_host(const std::vector<Met>& met) {
    std::vector<const Meeting*> meetings((*met[0])->hosts.size());
    for (std::size_t rank = 0; rank < met.size(); rank++)
        meetings[static_cast<std::size_t>((*met[0])->ranks[rank].host)] = met[rank]->get();
    return meetings;
}

void expect_tables_agree(const std::vector<Met>& met, const std::vector<Guest>& guests) {
    std::vector<std::string> hosts;
    for (const Guest& guest : guests)
        if (const std::string id = "/" + guest.network.host_id; std::ranges::find(hosts, id) == hosts.end())
            hosts.push_back(id);
    for (const Met& one : met) EXPECT_TRUE(one) << one.error().message;
    if (testing::Test::HasFailure()) return;
    for (std::size_t i = 0; i < met.size(); i++) {
        const Meeting& meeting = **met[i];
        ASSERT_EQ(meeting.ranks.size(), met.size());
        ASSERT_EQ(meeting.hosts.size(), hosts.size());
        EXPECT_TRUE(meeting.key.equals((*met[0])->key));
        for (std::size_t host = 0; host < hosts.size(); host++)
            EXPECT_THAT(meeting.hosts[host], testing::EndsWith(hosts[host])) << "in the order of their lowest ranks";
        for (std::size_t rank = 0; rank < met.size(); rank++) {
            EXPECT_EQ(meeting.ranks[rank].rank, static_cast<Rank>(rank));
            EXPECT_EQ(hosts[static_cast<std::size_t>(meeting.ranks[rank].host)], "/" + guests[rank].network.host_id);
            EXPECT_EQ(meeting.ranks[rank].address, (*met[0])->ranks[rank].address);
        }
    }
}

void expect_one_segment_per_host(const std::vector<Met>& met) {
    for (std::size_t rank = 0; rank < met.size(); rank++) (*met[rank])->memory.data()[rank] = std::byte{1};
    for (std::size_t rank = 0; rank < met.size(); rank++)
        for (std::size_t other = 0; other < met.size(); other++)
            EXPECT_EQ((*met[rank])->memory.data()[other] == std::byte{1},
                      (*met[rank])->ranks[rank].host == (*met[rank])->ranks[other].host);
}

// The links of all hosts join them all, without a circle; at both ends of each is the host that they say; and nothing
// is left in them.
void expect_links_form_a_tree(const std::vector<Met>& met) {
    const auto meetings = by_host(met);
    std::multiset<std::pair<std::size_t, std::size_t>> edges;
    for (std::size_t host = 0; host < meetings.size(); host++) {
        ASSERT_EQ(meetings[host]->links != nullptr, meetings.size() > 1);
        if (meetings.size() == 1) return;
        EXPECT_LE(meetings[host]->links->size(), bootstrap::Branches::fan_out + 1);
        for (HostLink& link : *meetings[host]->links) {
            edges.emplace(host, static_cast<std::size_t>(link.host));
            const auto number = static_cast<std::int32_t>(host);
            ASSERT_TRUE(link.socket.send(std::as_bytes(std::span{&number, 1}), ample()));
        }
    }
    EXPECT_EQ(edges.size(), 2 * (meetings.size() - 1));
    for (const auto& [one, other] : edges) EXPECT_EQ(edges.count({other, one}), 1U);
    for (const Meeting* meeting : meetings)
        for (HostLink& link : *meeting->links) {
            std::int32_t number = -1;
            ASSERT_TRUE(link.socket.receive(std::as_writable_bytes(std::span{&number, 1}), ample()));
            EXPECT_EQ(number, link.host);
        }
    std::set<std::size_t> reached{0};
    for (std::size_t round = 0; round < meetings.size(); round++)
        for (const auto& [one, other] : edges)
            if (reached.contains(one)) reached.insert(other);
    EXPECT_EQ(reached.size(), meetings.size());
}

void expect_data_can_be_taken(const std::vector<Met>& met) {
    for (std::size_t rank = 0; rank < met.size(); rank++) {
        const os::InternetAddress& address = (*met[0])->ranks[rank].address;
        ASSERT_TRUE(address.valid());
        auto socket = os::TcpSocket::connect(address, ample());
        ASSERT_TRUE(socket) << socket.error().message;
        const os::TcpListener& listener = (*met[rank])->listener;
        ASSERT_TRUE(os::wait_for(listener.descriptor(), POLLIN, ample(), "the connection"));
        auto taken = listener.accept();
        ASSERT_TRUE(taken && *taken);
        EXPECT_EQ((*taken)->peer_address()->port, socket->local_address()->port);
    }
}

void expect_met(const std::vector<Met>& met, const std::vector<Guest>& guests) {
    expect_tables_agree(met, guests);
    if (testing::Test::HasFailure()) return;
    expect_one_segment_per_host(met);
    expect_links_form_a_tree(met);
    expect_data_can_be_taken(met);
}

void expect_all_refused(const std::vector<Met>& met, Status status, const testing::Matcher<std::string>& message) {
    for (const Met& one : met) {
        ASSERT_FALSE(one);
        EXPECT_EQ(one.error().status, status) << one.error().message;
        EXPECT_THAT(one.error().message, message);
        EXPECT_EQ(one.error().message, met[0].error().message) << "all are told the same";
    }
}

// How hosts find each other: "" by an id made for it, otherwise by a job's name and this place, or a file of its own.
class JobOnHosts : public testing::TestWithParam<std::string> {
protected:
    static UniqueId new_id() {
        if (GetParam().empty()) return fresh_id();
        return named_id(GetParam() == "file:" ? "file:" + fresh_path() : GetParam());
    }
};
INSTANTIATE_TEST_SUITE_P(Places, JobOnHosts, testing::Values("", "localhost", "::1", "file:"));

TEST_P(JobOnHosts, Meets) {
    for (const auto& [rank_count, per_host] : std::vector<std::pair<Rank, Rank>>{{2, 1}, {8, 4}, {7, 3}, {40, 1}}) {
        const auto guests = whole_job(rank_count, per_host);
        expect_met(meet_all(new_id(), guests), guests);
    }
}

TEST_P(JobOnHosts, MeetsAgainByTheSameName) {
    if (GetParam().empty()) return;  // an id serves once
    const UniqueId id = new_id();
    const auto guests = whole_job(6, 2);
    for (int round = 0; round < 5; round++) expect_met(meet_all(id, guests), guests);
}

TEST_P(JobOnHosts, MeetsAgainAfterARefusal) {
    if (GetParam().empty()) return;
    const UniqueId id = new_id();
    const auto guests = whole_job(4, 2);
    auto wrong = guests;
    wrong[3].agreement.build = "2.0";
    for (const Met& met : meet_all(id, wrong)) EXPECT_FALSE(met);
    expect_met(meet_all(id, guests), guests);
}

TEST(Hosts, HaveRanksInAnyOrder) {
    auto guests = whole_job(6, 1);
    for (Guest& guest : guests) guest.network = on(guest.rank % 2 == 0 ? "even" : "odd");
    expect_met(meet_all(fresh_id("odd"), guests), guests);
    expect_met(meet_all(named_id("localhost"), guests), guests);
}

TEST(Hosts, MeetThoughTheIdWasMadeElsewhere) {
    const auto guests = whole_job(40, 2);
    expect_met(meet_all(fresh_id("elsewhere"), guests), guests);
}

std::string free_place() {
    const auto free = os::TcpListener::listen(os::resolve("127.0.0.1", 0).value().front());
    return (*free)->address().text();
}

TEST(Hosts, AtAPortOfOnesChoice) {
    const auto guests = whole_job(4, 2);
    expect_met(meet_all(named_id(free_place()), guests), guests);
}

TEST(Hosts, AFileIsGoneAfterwards) {
    const std::string path = fresh_path();
    const auto guests = whole_job(4, 2);
    expect_met(meet_all(named_id("file:" + path), guests), guests);
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Hosts, AFileOfAnotherTimeMisleadsNobody) {
    const std::string path = fresh_path();
    const UniqueId id = named_id("file:" + path);
    // By the same job, which somebody who is no rank of this one answers for.
    const auto stranger = os::TcpListener::listen(os::resolve("127.0.0.1", 0).value().front());
    ASSERT_TRUE(bootstrap::write_root_file(path, read_unique_id(id)->meeting,
                                           {.address = (*stranger)->address().text(), .secret = {}}));
    const auto guests = whole_job(4, 2);
    expect_met(meet_all(id, guests), guests);
    ASSERT_TRUE(bootstrap::write_root_file(path, 7, {.address = "127.0.0.1:1", .secret = {}}));
    expect_met(meet_all(id, guests), guests);
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Hosts, AThousandRanksOn128HostsMeet) {
    const auto guests = whole_job(1024, 8);
    const UniqueId id = fresh_id();
    const std::uint64_t start_ns = os::now_ns();
    const auto met = meet_all(id, guests);
    std::printf("1024 ranks on 128 hosts met within %llu ms\n",
                static_cast<unsigned long long>((os::now_ns() - start_ns) / 1'000'000));
    for (const Met& one : met) ASSERT_TRUE(one) << one.error().message;
    expect_links_form_a_tree(met);  // at any moment no more than bootstrap_strangers_test.cpp says
}

TEST(Hosts, NobodySitsBetweenThemAtAPortThatAnybodyCanGuess) {
    const std::string place = "127.0.0.1";
    const auto invitation = bootstrap::invitation_for_job(fresh_job(), place).value();
    const auto ports = bootstrap::ports_of(*bootstrap::read_place(place), invitation.meeting);
    Between between{ports[0], ports[1]};
    if (!between.listens()) GTEST_SKIP() << "port " << ports[0] << " is in use";
    const auto guests = whole_job(4, 1);
    expect_met(meet_all(bootstrap::write_unique_id(invitation), guests), guests);
    between.stop();
    EXPECT_GT(between.came(), 0U) << "hosts try the first port first";
    EXPECT_LE(between.most_heard(), 32U) << "no more than a challenge: no proof, no table, no key";
}

// Also of ranks that are not the first of their host.
TEST(Hosts, KnowHowAllRanksAreSetAndOverWhatTheyTalk) {
    auto guests = whole_job(6, 2);
    const auto preferences_of = [](Rank rank) { return rank < 4 ? "S=1\n" : rank == 4 ? "S=2\n" : ""; };
    for (Guest& guest : guests) guest.agreement.preferences = preferences_of(guest.rank);
    const auto met = meet_all(fresh_id(), guests);
    expect_met(met, guests);
    for (const Met& one : met) {
        const Meeting& meeting = **one;
        EXPECT_EQ(meeting.preferences.size(), 3U);
        for (const Introduction& who : meeting.ranks)
            EXPECT_EQ(meeting.preferences.at(who.preferences), preferences_of(who.rank));
        ASSERT_EQ(meeting.networks.size(), 3U);
        for (const HostNetwork& network : meeting.networks) {
            EXPECT_TRUE(network.address.valid());
            EXPECT_FALSE(network.interface.empty());
            EXPECT_GT(network.mtu, 0U);
        }
    }
}

TEST(HostsDisagree, ARankThatCannotUseTheNetworkIsToldToAll) {
    for (const std::size_t who : {std::size_t{0}, std::size_t{3}}) {
        auto guests = whole_job(4, 2);
        guests[who].network.obstacle = "N=x: no device";
        for (const UniqueId& id : {fresh_id(), named_id("localhost")})
            expect_all_refused(meet_all(id, guests), Status::system_error,
                               AllOf(HasSubstr("rank " + std::to_string(who) + " (process"), HasSubstr("on "),
                                     HasSubstr(who == 0 ? "/h0" : "/h1"), HasSubstr("N=x: no device")));
    }
}

TEST(Hosts, ANetworkThatNobodyNeedsMayBeUnusable) {
    auto guests = whole_job(2, 2);
    for (Guest& guest : guests) guest.network.obstacle = "N=x: no device";
    expect_tables_agree(meet_all(fresh_id(), guests), guests);
}

TEST(HostsDisagree, ARankThatComesTwice) {
    auto guests = whole_job(5, 2);
    guests[3].rank = 1;
    for (const UniqueId& id : {fresh_id(), named_id("localhost")})
        expect_all_refused(meet_all(id, guests), Status::mismatch,
                           AllOf(HasSubstr("rank 1 came twice"), HasSubstr("/h0"), HasSubstr("/h1")));
}

TEST(HostsDisagree, OnASetting) {
    const std::pair<std::function<void(Agreement&)>, std::string> disagreements[] = {
        {[](Agreement& a) { a.rank_count = 7; }, "says 7"},
        {[](Agreement& a) { a.segment = {8192}; }, "8192"},
        {[](Agreement& a) { a.build = "2.0"; }, "2.0"},
        {[](Agreement& a) { a.configuration = "A=1\nB=3\n"; }, "B=3"},
    };
    for (const auto& [change, says] : disagreements) {
        auto guests = whole_job(6, 2);
        for (const std::size_t rank : {4U, 5U}) change(guests[rank].agreement);
        const auto met = meet_all(fresh_id(), guests);
        for (const Met& one : met) {
            ASSERT_FALSE(one);
            EXPECT_EQ(one.error().status, Status::mismatch) << one.error().message;
            EXPECT_THAT(one.error().message, AllOf(HasSubstr("rank "), HasSubstr("(process "), HasSubstr("/h2")));
            EXPECT_EQ(one.error().message, met[0].error().message);
        }
    }
}

TEST(HostsDisagree, WithinAHostThatIsNotTheRoot) {
    auto guests = whole_job(6, 2);
    guests[5].agreement.build = "2.0";
    expect_all_refused(meet_all(fresh_id(), guests), Status::mismatch,
                       AllOf(HasSubstr("rank 5 (process "), HasSubstr("/h2"), HasSubstr("2.0")));
}

TEST(HostsMissing, RanksAreNamedEverywhere) {
    auto guests = whole_job(6, 2);
    guests.erase(guests.begin() + 3);
    for (const UniqueId& id : {fresh_id(), named_id("localhost")}) {
        for (Guest& guest : guests) guest.deadline = os::Deadline::after_ms(500);
        expect_all_refused(meet_all(id, guests), Status::timeout, HasSubstr("rank 3 of 6 never came"));
    }
}

TEST(HostsMissing, TheShortestPatienceCountsForAll) {
    auto guests = whole_job(6, 2);
    guests.pop_back();
    guests[4].deadline = os::Deadline::after_ms(500);
    expect_all_refused(meet_all(fresh_id(), guests), Status::timeout, HasSubstr("rank 5 of 6 never came"));
}

TEST(HostsMissing, TheRootIsNamedWithWhatWentWrong) {
    auto guests = whole_job(4, 2);
    guests.erase(guests.begin(), guests.begin() + 2);
    for (Guest& guest : guests) guest.deadline = os::Deadline::after_ms(300);
    expect_all_refused(meet_all(named_id("127.0.0.1:1"), guests), Status::timeout,
                       AllOf(HasSubstr("/h1"), HasSubstr("127.0.0.1:1"), HasSubstr("refused"),
                             HasSubstr("TENON_SOCKET_INTERFACE"), HasSubstr("rank 0")));
    for (Guest& guest : guests) guest.deadline = os::Deadline::after_ms(300);
    expect_all_refused(meet_all(named_id("file:/nowhere/at/all"), guests), Status::timeout,
                       HasSubstr("/nowhere/at/all is not there"));
    // A foreign service, which never says a word.
    const auto silent = os::TcpListener::listen(os::resolve("127.0.0.1", 0).value().front());
    for (Guest& guest : guests) guest.deadline = os::Deadline::after_ms(800);
    expect_all_refused(meet_all(named_id((*silent)->address().text()), guests), Status::timeout,
                       HasSubstr("does not answer in time"));
}

TEST(HostsMissing, ThoseOfAnotherJobAreToldApart) {
    const std::string place = free_place();
    auto guests = whole_job(2, 1);
    for (Guest& guest : guests) guest.deadline = os::Deadline::after_ms(3'000);
    std::vector<Met> root;
    std::thread first{[&] { root = meet_all(named_id(place), {guests[0]}); }};
    const auto other = meet_all(named_id(place), {guests[1]});
    first.join();
    expect_all_refused(root, Status::timeout,
                       AllOf(HasSubstr("rank 1 of 2 never came"), HasSubstr("a stranger was refused, 127.0.0.1:"),
                             HasSubstr("does not know the job's secret"), HasSubstr("same TENON_JOB")));
    expect_all_refused(other, Status::timeout,
                       AllOf(HasSubstr("/h1"), HasSubstr(place), HasSubstr("does not accept this job's secret"),
                             HasSubstr("same TENON_JOB"), HasSubstr("same unique id")));
}

TEST(HostsMissing, AnAbortOnOneEndsItForAll) {
    std::atomic<bool> abort{false};
    auto guests = whole_job(6, 2);
    guests.pop_back();
    guests[2].deadline = guests[2].deadline.or_abort(abort);
    std::vector<Met> met;
    const UniqueId id = named_id("localhost");
    std::thread all{[&] { met = meet_all(id, guests); }};
    abort = true;
    all.join();
    for (const Met& one : met) EXPECT_FALSE(one);
    EXPECT_EQ(met[2].error().status, Status::aborted);
}

TEST(HostsLate, AnIdServesOnce) {
    const UniqueId id = fresh_id();
    const auto guests = whole_job(4, 2);
    expect_met(meet_all(id, guests), guests);
    for (const Met& met : meet_all(id, {guests[2], guests[3]})) {
        ASSERT_FALSE(met);
        EXPECT_EQ(met.error().status, Status::remote_error);
        EXPECT_THAT(met.error().message, HasSubstr("make a new one"));
    }
}

TEST(HostsLate, AreToldOfARefusal) {
    const UniqueId id = fresh_id();
    auto guests = whole_job(6, 2);
    guests[1].rank = 0;
    const std::vector<Guest> first(guests.begin(), guests.begin() + 4), late(guests.begin() + 4, guests.end());
    for (const Met& met : meet_all(id, first)) EXPECT_FALSE(met);
    expect_all_refused(meet_all(id, late), Status::mismatch, HasSubstr("rank 0 came twice"));
}

TEST(HostsInterface, MustExist) {
    auto guests = whole_job(2, 1);
    for (Guest& guest : guests) guest.network.interface = "nothing0";
    for (const Met& met : meet_all(named_id("localhost"), guests))
        EXPECT_THAT(met.error().message, AllOf(HasSubstr("nothing0"), HasSubstr("lo (127.0.0.1)")));
    EXPECT_FALSE(create_unique_id({.interface = "nothing0"}));
    for (Guest& guest : guests) guest.network.interface = "=lo";
    const auto met = meet_all(named_id("localhost"), guests);
    expect_met(met, guests);
    EXPECT_EQ((*met[0])->ranks[0].address.host_text(), "127.0.0.1");
}

}  // namespace
}  // namespace tenon
