// Peers that are killed or stopped in the middle of a stream of calls: every other rank gets an error that names the
// peer, in time, and nothing is left behind.
#include <gtest/gtest.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <set>
#include <thread>
#include <utility>

#include "tests/multiprocess/job.hpp"
#include "tests/support/seed.hpp"

namespace tenon::multiprocess {
namespace {

// Sends this process a signal after some time, wherever it is then.
void send_self_later(int signal, long microseconds) {
    sigevent event{};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = signal;
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) throw std::runtime_error("no timer");
    const itimerspec when{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = microseconds * 1000}};
    if (timer_settime(timer, 0, &when, nullptr) != 0) throw std::runtime_error("the timer was not set");
}

// Calls of every kind and size, the same on every rank, until one fails.
class StreamOfCalls {
public:
    StreamOfCalls(tenonComm_t comm, int rank_count, std::uint64_t seed)
        : comm_(comm), rank_count_(rank_count), random_(seed) {
        require(tenonCommUserRank(comm, &rank_), comm);
        if (random_() % 2 == 0) {
            memory_.resize(2 * room);
            in_ = memory_.data();
        } else {
            void* given = nullptr;
            require(tenonMemAlloc(&given, 2 * room));
            in_ = static_cast<std::byte*>(given);
        }
    }

    tenonResult_t run_until_one_fails() {
        for (;;)
            if (const tenonResult_t result = run_one(); result != tenonSuccess) return result;
    }

private:
    static constexpr std::size_t room = 8 << 20;

    tenonResult_t run_one() {
        static constexpr Collective kinds[] = {Collective::all_reduce,     Collective::all_gather,
                                               Collective::reduce_scatter, Collective::all_to_all,
                                               Collective::broadcast,      Collective::barrier};
        static constexpr std::size_t counts[] = {1, 16, 300, 5'000, 200'000};
        support::Shape shape{.collective = kinds[random_() % std::size(kinds)],
                             .type = DataType::float32,
                             .rank_count = rank_count_,
                             .count = counts[random_() % std::size(counts)]};
        shape.root = static_cast<Rank>(random_() % static_cast<unsigned>(rank_count_));
        switch (random_() % 8) {
            case 0: return exchange_unequal_blocks(shape.count);
            case 1: return exchange_with_neighbours(shape.count);
            case 2: return run_in_stream(shape);
            default: return support::submit(shape, in_, in_ + room, comm_);
        }
    }

    tenonResult_t exchange_unequal_blocks(std::size_t count) {
        std::vector<std::size_t> sent, received, offsets;
        for (int peer = 0; peer < rank_count_; peer++) {
            sent.push_back(count / static_cast<std::size_t>(1 + (rank_ + 2 * peer) % 3));
            received.push_back(count / static_cast<std::size_t>(1 + (peer + 2 * rank_) % 3));
            offsets.push_back(count * static_cast<std::size_t>(peer));
        }
        return tenonAlltoAllv(in_, sent.data(), offsets.data(), in_ + room, received.data(), offsets.data(),
                              tenonFloat32, comm_, nullptr);
    }

    tenonResult_t exchange_with_neighbours(std::size_t count) {
        require(tenonGroupStart());
        require(tenonSend(in_, count, tenonFloat32, (rank_ + 1) % rank_count_, comm_, nullptr), comm_);
        require(tenonRecv(in_ + room, count, tenonFloat32, (rank_ + rank_count_ - 1) % rank_count_, comm_, nullptr),
                comm_);
        return tenonGroupEnd();
    }

    tenonResult_t run_in_stream(const support::Shape& shape) {
        if (stream_ == nullptr) require(tenonStreamCreate(&stream_));
        const tenonResult_t issued = support::submit(shape, in_, in_ + room, comm_, stream_);
        const tenonResult_t done = tenonStreamSynchronize(stream_);
        return issued != tenonSuccess ? issued : done;
    }

    tenonStream_t stream_ = nullptr;
    int rank_ = 0;
    tenonComm_t comm_;
    int rank_count_;
    std::mt19937_64 random_;
    std::vector<std::byte> memory_;
    std::byte* in_ = nullptr;
};

struct Verdict {
    std::int64_t at_ms = 0;
    std::string words;

    static std::string tell(const std::string& words) { return std::to_string(support::now_ms()) + " " + words; }
    static Verdict parse(const std::string& line) {
        std::size_t end = 0;
        Verdict v;
        v.at_ms = std::stoll(line, &end);
        v.words = line.substr(end + 1);
        return v;
    }
};

// One second, and what a machine with more to do than this may add.
constexpr std::int64_t most_ms = 1'000 + 3'000;

class Faults : public ::testing::Test {
protected:
    std::mt19937_64 random_ = support::random_generator();

    void kill_one_of(int rank_count) {
        const int victim = static_cast<int>(random_() % static_cast<unsigned>(rank_count));
        const auto after_us = static_cast<long>(random_() % 30'000) + 1;
        const std::uint64_t seed = random_();
        SCOPED_TRACE(testing::Message() << "rank " << victim << " of " << rank_count << " dies after " << after_us
                                        << " us");
        RankProcesses ranks(rank_count, [&](RankProcess& self) {
            tenonComm_t comm = join(self);
            StreamOfCalls calls(comm, self.rank_count(), seed);
            if (self.rank() == victim) send_self_later(SIGKILL, after_us);
            const tenonResult_t result = calls.run_until_one_fails();
            const std::string words = Verdict::tell(support::outcome(result, comm));
            tenonCommDestroy(comm);
            return words;
        });
        EXPECT_EQ(ranks.wait(victim).signal, SIGKILL);
        const std::int64_t died_ms = support::now_ms();
        for (int r = 0; r < rank_count; r++) {
            if (r == victim) continue;
            const Ending ending = ranks.wait(r);
            ASSERT_EQ(ending.exit_code, 0) << "rank " << r << ", signal " << ending.signal << ": " << ending.last_line;
            const Verdict verdict = Verdict::parse(ending.last_line);
            EXPECT_LE(verdict.at_ms - died_ms, most_ms) << "rank " << r;
            EXPECT_TRUE(contains(verdict.words, "remote error")) << verdict.words;
            EXPECT_TRUE(contains(verdict.words, "rank " + std::to_string(victim))) << verdict.words;
        }
    }
    using Ending = support::Ending;
};

TEST_F(Faults, KilledPeersAreToldToEveryRankInTime) {
    for (int round = 0; round < 12; round++) kill_one_of(2 + round % 3);
}

TEST_F(Faults, ExhaustiveHundredKilledPeers) {
    for (int round = 0; round < 100; round++) kill_one_of(2 + round % 7);
}

TEST_F(Faults, AStoppedPeerIsNamedWhenTimeIsOver) {
    for (const int rank_count : {2, 3}) {
        const int victim = rank_count - 1;
        const auto after_us = static_cast<long>(random_() % 20'000) + 1;
        const std::uint64_t seed = random_();
        SCOPED_TRACE(testing::Message() << "rank " << victim << " of " << rank_count << " stops after " << after_us
                                        << " us");
        RankProcesses ranks(rank_count, [&](RankProcess& self) {
            tenonConfig_t config = TENON_CONFIG_INITIALIZER;
            config.timeoutMs = 500;
            tenonComm_t comm = join(self, config);
            StreamOfCalls calls(comm, self.rank_count(), seed);
            if (self.rank() == victim) send_self_later(SIGSTOP, after_us);
            return support::outcome(calls.run_until_one_fails(), comm);
        });
        for (int r = 0; r < rank_count; r++) {
            if (r == victim) ranks.send_signal(victim, SIGCONT);  // the others have ended: it hears of it too
            const Ending ending = ranks.wait(r);
            ASSERT_EQ(ending.exit_code, 0) << ending.last_line;
            EXPECT_TRUE(contains(ending.last_line, "timeout")) << "rank " << r << ": " << ending.last_line;
            EXPECT_TRUE(contains(ending.last_line, "rank " + std::to_string(victim)))
                << "rank " << r << ": " << ending.last_line;
        }
    }
}

TEST_F(Faults, APeerThatNeverCallsIsNamedWhenTimeIsOver) {
    RankProcesses ranks(3, [](RankProcess& self) -> std::string {
        tenonConfig_t config = TENON_CONFIG_INITIALIZER;
        config.timeoutMs = 300;
        tenonComm_t comm = join(self, config);
        if (self.rank() == 1) return self.hear();
        double x = 0;
        return support::outcome(tenonAllReduce(&x, &x, 1, tenonDouble, tenonSum, comm, nullptr), comm);
    });
    for (const int r : {0, 2}) {
        const std::string line = ranks.wait(r).last_line;
        EXPECT_TRUE(contains(line, "timeout") && contains(line, "all_reduce of 1 float64, sum") &&
                    contains(line, "rank 1"))
            << line;
    }
    ranks.tell(1, "done");
    EXPECT_EQ(ranks.wait(1).exit_code, 0);
}

TEST_F(Faults, APeerThatLeavesInGoodOrderIsNamed) {
    RankProcesses ranks(3, [](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        if (self.rank() == 2) {
            require(tenonCommDestroy(comm));
            return "left";
        }
        std::vector<float> x(100'000);
        return support::outcome(tenonAllReduce(x.data(), x.data(), x.size(), tenonFloat, tenonSum, comm, nullptr),
                                comm);
    });
    const auto results = ranks.results();
    for (const int r : {0, 1}) {
        const std::string& line = results[static_cast<std::size_t>(r)];
        EXPECT_TRUE(contains(line, "remote error") && contains(line, "rank 2")) << line;
    }
}

TEST_F(Faults, APeerThatExitsWithoutAWordIsNamed) {
    RankProcesses ranks(2, [](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        if (self.rank() == 1) return "gone";  // without destroying
        return support::outcome(tenonBarrier(comm, nullptr), comm);
    });
    const std::string line = ranks.results()[0];
    EXPECT_TRUE(contains(line, "remote error") && contains(line, "rank 1")) << line;
}

// Gives `told` every line that this process writes to standard error from now on.
void redirect_log(const std::function<void(const std::string&)>& told) {
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) throw std::runtime_error("no pipe for the log");
    std::thread([from = ends[0], told] {
        std::string line;
        for (char c = 0; read(from, &c, 1) == 1;)
            if (c == '\n')
                told(std::exchange(line, {}));
            else
                line += c;
    }).detach();
}

TEST_F(Faults, ALateRankIsExplainedInTheLogAndMayStillCome) {
    RankProcesses ranks(3, [](RankProcess& self) -> std::string {
        setenv("TENON_LATE_WARNING_MS", "50", 1);
        if (self.rank() == 0) redirect_log([&self](const std::string& line) { self.tell(line); });
        tenonComm_t comm = join(self);
        if (self.rank() == 2) self.hear();
        float value = 1, sum = 0;
        require(tenonAllReduce(&value, &sum, 1, tenonFloat32, tenonSum, comm, nullptr), comm);
        tenonCommDestroy(comm);
        return sum == 3 ? "right" : "wrong";
    });
    const std::string verdict = ranks.hear(0);
    EXPECT_TRUE(contains(verdict, "rank 0: all_reduce of 1 float32, sum (call 1), in receive") &&
                contains(verdict, "lane") && contains(verdict, "rank 2, which has not made this call") &&
                contains(verdict, "error after 600000 ms"))
        << verdict;
    ranks.tell(2, "come");
    for (const std::string& line : ranks.results()) EXPECT_EQ(line, "right");
}

std::set<std::string> shared_memory_files() {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
        const std::string name = entry.path().filename();
        if (contains(name, "tenon")) names.insert(name);
    }
    return names;
}

TEST_F(Faults, LeaveNoFileBehind) {
    const auto before = shared_memory_files();
    RankProcesses ranks(3, [](RankProcess& self) -> std::string {
        tenonComm_t comm = join(self);
        void* memory = nullptr;
        require(tenonMemAlloc(&memory, 1 << 20));
        require(tenonAllReduce(memory, memory, 1 << 18, tenonFloat, tenonSum, comm, nullptr), comm);
        self.tell("done");  // one that dies earlier is an error to those still inside the call
        return self.hear();
    });
    for (int r = 0; r < 3; r++) ASSERT_EQ(ranks.hear(r), "done");
    for (int r = 0; r < 3; r++) ranks.send_signal(r, SIGKILL);
    for (const Ending& ending : ranks.wait_for_all()) EXPECT_EQ(ending.signal, SIGKILL);
    EXPECT_EQ(shared_memory_files(), before);
}

}  // namespace
}  // namespace tenon::multiprocess
