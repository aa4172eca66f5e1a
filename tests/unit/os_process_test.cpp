// What a process learns of itself and of others. Children are forked and end without running any exit handler.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include "os/clock.hpp"
#include "os/futex.hpp"
#include "os/memory.hpp"
#include "os/peer_memory.hpp"
#include "os/process.hpp"
#include "os/signals.hpp"
#include "os/socket.hpp"

namespace tenon::os {
namespace {

// A child that runs `body` and is gone when it returns; `end` kills it before.
class Child {
public:
    template <class Body>
    explicit Child(Body body) : process_{fork()} {
        if (process_ == 0) {
            body();
            _exit(0);
        }
    }
    ~Child() {
        if (process_ > 0) end();
    }
    pid_t process() const { return process_; }
    void wait() { waitpid(std::exchange(process_, -1), nullptr, 0); }
    void end() {
        kill(process_, SIGKILL);
        wait();
    }

private:
    pid_t process_;
};

[[noreturn]] void stay() {
    for (;;) pause();
}

TEST(Process, TokenIsOnePerProcess) {
    const auto memory = create_shared_memory("test", {sizeof(ProcessToken)});
    const auto mapping = Mapping::shared(*memory, {sizeof(ProcessToken)});
    ASSERT_TRUE(mapping);
    auto* of_child = reinterpret_cast<ProcessToken*>(mapping->data());
    const ProcessToken own = process_token();
    EXPECT_EQ(process_token(), own);
    EXPECT_NE(own, ProcessToken{});
    Child child{[&] { *of_child = process_token(); }};
    child.wait();
    EXPECT_NE(*of_child, own);
    EXPECT_NE(*of_child, ProcessToken{});
    EXPECT_EQ(process_token(), own);
}

TEST(Process, ChoosesAmongItsCores) {
    std::thread{[] {
        const auto all = cores_of_this_thread();
        ASSERT_TRUE(all) << all.error().message;
        const auto list = core_list(*all);
        ASSERT_FALSE(list.empty());
        EXPECT_TRUE(std::is_sorted(list.begin(), list.end()));
        CoreSet last;
        last.set(static_cast<std::size_t>(list.back()));
        ASSERT_TRUE(run_this_thread_on(last));
        EXPECT_EQ(*cores_of_this_thread(), last);
        EXPECT_EQ(run_this_thread_on(CoreSet{}).error().status, Status::system_error);
    }}.join();
}

TEST(Process, RandomBytesDiffer) {
    std::array<std::byte, 32> one{}, other{};
    ASSERT_TRUE(fill_random(one) && fill_random(other));
    EXPECT_NE(one, other);
}

TEST(Process, IsSeenToBeStopped) {
    const pid_t child = fork();
    if (child == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    ASSERT_EQ(waitpid(child, nullptr, WUNTRACED), child);
    EXPECT_TRUE(is_stopped(child));
    EXPECT_FALSE(is_stopped(process_id()));
    kill(child, SIGCONT);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_FALSE(is_stopped(child)) << "it is gone";
}

TEST(WatchProcess, BecomesReadableAtTheEnd) {
    Child child{stay};
    const auto watch = watch_process(child.process());
    ASSERT_TRUE(watch) << watch.error().message;
    pollfd watched{watch->number(), POLLIN, 0};
    EXPECT_FALSE(*wait_ready(std::span{&watched, 1}, Deadline::never(), 0));
    const pid_t process = child.process();
    child.end();
    EXPECT_TRUE(*wait_ready(std::span{&watched, 1}, Deadline::after_ms(60'000), 60'000));
    EXPECT_EQ(watch_process(process).error().status, Status::remote_error);
}

TEST(Futex, WakesAcrossProcesses) {
    const auto memory = create_shared_memory("test", {4096});
    const auto mapping = Mapping::shared(*memory, {4096});
    ASSERT_TRUE(mapping);
    auto& word = *reinterpret_cast<std::atomic<std::uint32_t>*>(mapping->data());
    EXPECT_FALSE(futex_wait(word, 0, 1000)) << "nobody wakes us";
    EXPECT_TRUE(futex_wait(word, 1, 60'000'000)) << "the word differs already";
    Child child{[&] {
        word.store(1);
        futex_wake(word);
    }};
    while (word.load() == 0) ASSERT_TRUE(futex_wait(word, 0, 60'000'000));
    child.wait();
}

TEST(PeerMemory, ReadsAndWritesAChild) {
    const auto memory = create_shared_memory("test", {4096});
    const auto ours = Mapping::anonymous({1 << 20});
    ASSERT_TRUE(ours);
    ours->data()[0] = std::byte{1};
    Child child{stay};  // has a copy of `ours` at the same address
    const auto address = reinterpret_cast<std::uint64_t>(ours->data());
    ours->data()[0] = std::byte{2};
    const std::vector<std::byte> written(1 << 19, std::byte{9});
    const auto wrote = write_peer_memory(child.process(), address + 1, written);
    if (!wrote && wrote.error().message.find("Operation not permitted") != std::string::npos)
        GTEST_SKIP() << "this system forbids it: " << wrote.error().message;
    ASSERT_TRUE(wrote) << wrote.error().message;
    std::vector<std::byte> read(1 << 20);
    ASSERT_TRUE(read_peer_memory(child.process(), address, read));
    EXPECT_EQ(read[0], std::byte{1});
    EXPECT_TRUE(std::equal(written.begin(), written.end(), read.begin() + 1));
    EXPECT_EQ(read[1 + written.size()], std::byte{0});
    const pid_t process = child.process();
    child.end();
    EXPECT_EQ(read_peer_memory(process, address, read).error().status, Status::remote_error);
}

TEST(SignalsKept, AreAsTheyWereWhateverALibraryDid) {
    const auto handler_of = [](int signal) {
        struct sigaction now {};
        sigaction(signal, nullptr, &now);
        return now.sa_handler;
    };
    const auto before = handler_of(SIGUSR1);
    struct sigaction other {};
    other.sa_handler = [](int) {};
    sigaction(SIGUSR2, &other, nullptr);
    {
        const SignalsKept kept;
        struct sigaction taken {};
        taken.sa_handler = SIG_IGN;
        sigaction(SIGUSR1, &taken, nullptr);
        sigaction(SIGUSR2, &taken, nullptr);
    }
    EXPECT_EQ(handler_of(SIGUSR1), before);
    EXPECT_EQ(handler_of(SIGUSR2), other.sa_handler);
    std::signal(SIGUSR2, SIG_DFL);
}

TEST(DeadlineTest, NeitherOverflowsNorUnderflows) {
    EXPECT_FALSE(Deadline::after_ms(std::numeric_limits<std::uint64_t>::max()).passed());
    EXPECT_EQ(Deadline::never().later_by_ms(1).time_ns(), Deadline::never().time_ns());
    EXPECT_TRUE(Deadline::after_ms(0).passed());
    EXPECT_EQ(Deadline::after_ms(0).remaining_ms(), 0U);
    EXPECT_EQ(Deadline::never().slice_ms(50), 50);
    std::atomic<bool> flag{false};
    const Deadline deadline = Deadline::never().or_abort(flag);
    EXPECT_TRUE(deadline.check("something"));
    flag = true;
    const auto ended = deadline.check("something");
    EXPECT_EQ(ended.error().status, Status::aborted);
    EXPECT_NE(ended.error().message.find("something"), std::string::npos);
}

}  // namespace
}  // namespace tenon::os
