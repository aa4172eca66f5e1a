// Streams and events: calls run in the background in order, later work waits for events, and errors come out at the
// wait.
#include <gtest/gtest.h>

#include <barrier>

#include "tests/conformance/c_job.hpp"

namespace tenon::conformance {
namespace {

using Numbers = std::vector<std::int32_t>;

// A stream that is destroyed with its scope.
class Stream {
public:
    Stream() { EXPECT_EQ(did(tenonStreamCreate(&stream_)), "success"); }
    ~Stream() { tenonStreamDestroy(stream_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    operator tenonStream_t() const { return stream_; }

private:
    tenonStream_t stream_ = nullptr;
};

class Event {
public:
    Event() { EXPECT_EQ(did(tenonEventCreate(&event_)), "success"); }
    ~Event() { tenonEventDestroy(event_); }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    operator tenonEvent_t() const { return event_; }

private:
    tenonEvent_t event_ = nullptr;
};

TEST(Streams, RunTheirCallsInOrder) {
    const CJob job(3);
    job.run([&](tenonComm_t comm, int) {
        const Stream stream;
        Numbers n(1'000, 1);
        for (int i = 0; i < 10; i++)
            EXPECT_EQ(did(tenonAllReduce(n.data(), n.data(), n.size(), tenonInt32, tenonSum, comm, stream)), "success");
        EXPECT_EQ(did(tenonStreamSynchronize(stream)), "success");
        EXPECT_EQ(n, Numbers(1'000, 59'049));  // 3 to the 10th
    });
}

TEST(Streams, AreInProgressUntilTheOthersCome) {
    const CJob job(2);
    std::barrier together(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Stream stream;
        const Event done;
        EXPECT_EQ(tenonEventQuery(done), tenonSuccess) << "nothing was recorded";
        std::int32_t one = 1;
        if (rank == 0) {
            EXPECT_EQ(did(tenonAllReduce(&one, &one, 1, tenonInt32, tenonSum, comm, stream)), "success");
            EXPECT_EQ(did(tenonEventRecord(done, stream)), "success");
            EXPECT_EQ(tenonStreamQuery(stream), tenonInProgress);
            EXPECT_EQ(tenonEventQuery(done), tenonInProgress);
            tenonResult_t state;
            EXPECT_EQ(did(tenonCommGetAsyncError(comm, &state)), "success");
            EXPECT_EQ(state, tenonInProgress);
        }
        together.arrive_and_wait();
        if (rank == 1) {
            EXPECT_EQ(did(tenonAllReduce(&one, &one, 1, tenonInt32, tenonSum, comm, stream)), "success");
        }
        EXPECT_EQ(did(tenonEventSynchronize(done)), "success");
        EXPECT_EQ(did(tenonStreamSynchronize(stream)), "success");
        EXPECT_EQ(tenonStreamQuery(stream), tenonSuccess);
        EXPECT_EQ(one, 2);
    });
}

TEST(Streams, WaitForEventsOfOthers) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Stream first, second;
        const Event summed;
        Numbers sums(50'000, rank + 1), gathered(100'000);
        EXPECT_EQ(did(tenonStreamWaitEvent(second, summed)), "success") << "not recorded: holds nothing up";
        EXPECT_EQ(did(tenonAllReduce(sums.data(), sums.data(), sums.size(), tenonInt32, tenonSum, comm, first)),
                  "success");
        EXPECT_EQ(did(tenonEventRecord(summed, first)), "success");
        EXPECT_EQ(did(tenonStreamWaitEvent(second, summed)), "success");
        EXPECT_EQ(did(tenonAllGather(sums.data(), gathered.data(), sums.size(), tenonInt32, comm, second)), "success");
        EXPECT_EQ(did(tenonStreamSynchronize(second)), "success");
        EXPECT_EQ(tenonEventQuery(summed), tenonSuccess);
        EXPECT_EQ(gathered, Numbers(100'000, 3));
    });
}

TEST(Streams, OfOneCommunicatorMatchInTheOrderOfIssue) {
    const CJob job(3);
    job.run([&](tenonComm_t comm, int rank) {
        const Stream streams[3] = {};
        std::vector<Numbers> n;
        for (int i = 0; i < 30; i++) n.emplace_back(100 * i, rank + i);
        for (int i = 0; i < 30; i++) {
            Numbers& part = n[static_cast<std::size_t>(i)];
            // Each rank spreads its calls over its streams in its own way.
            EXPECT_EQ(did(tenonAllReduce(part.data(), part.data(), part.size(), tenonInt32, tenonSum, comm,
                                         streams[(i * (rank + 1)) % 3])),
                      "success");
        }
        std::int32_t one = 1;
        EXPECT_EQ(did(tenonAllReduce(&one, &one, 1, tenonInt32, tenonSum, comm, nullptr)), "success")
            << "after what streams hold";
        EXPECT_EQ(one, 3);
        for (const Stream& stream : streams) EXPECT_EQ(did(tenonStreamSynchronize(stream)), "success");
        for (int i = 0; i < 30; i++)
            EXPECT_EQ(n[static_cast<std::size_t>(i)], Numbers(100 * static_cast<std::size_t>(i), 3 + 3 * i));
    });
}

TEST(Streams, RunGroups) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Stream stream;
        const Numbers mine(30'000, rank);
        Numbers got(30'000, -1), sum(10, 4);
        tenonGroupStart();
        tenonSend(mine.data(), mine.size(), tenonInt32, 1 - rank, comm, stream);
        tenonRecv(got.data(), got.size(), tenonInt32, 1 - rank, comm, stream);
        tenonAllReduce(sum.data(), sum.data(), sum.size(), tenonInt32, tenonSum, comm, stream);
        EXPECT_EQ(did(tenonGroupEnd()), "success");
        EXPECT_EQ(did(tenonStreamSynchronize(stream)), "success");
        EXPECT_EQ(got, Numbers(30'000, 1 - rank));
        EXPECT_EQ(sum, Numbers(10, 8));
    });
}

TEST(Streams, KeepTheArraysOfACallThatRunsLater) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Stream stream;
        const Numbers in(4, 5);
        Numbers out(6);
        {
            const std::size_t block = rank == 0 ? 1 : 3;
            std::vector<std::size_t> counts = {1, 3}, offsets = {0, 1}, mirrored = {block, block}, places = {0, block};
            EXPECT_EQ(did(tenonAlltoAllv(in.data(), counts.data(), offsets.data(), out.data(), mirrored.data(),
                                         places.data(), tenonInt32, comm, stream)),
                      "success");
            for (auto* array : {&counts, &offsets, &mirrored, &places}) array->assign(2, 1 << 20);
        }
        EXPECT_EQ(did(tenonStreamSynchronize(stream)), "success");
        EXPECT_EQ(out, rank == 0 ? (Numbers{5, 5, 0, 0, 0, 0}) : Numbers(6, 5));
    });
}

TEST(Streams, TellErrorsAtTheWaitAndToTheCommunicator) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int rank) {
        const Stream stream;
        Numbers n(200, 1);
        EXPECT_EQ(
            tenonAllReduce(n.data(), n.data(), 100U + static_cast<unsigned>(rank), tenonInt32, tenonSum, comm, stream),
            tenonSuccess);
        EXPECT_EQ(tenonStreamSynchronize(stream), tenonMismatch);
        tenonResult_t state;
        EXPECT_EQ(did(tenonCommGetAsyncError(comm, &state)), "success");
        EXPECT_EQ(state, tenonMismatch);
        EXPECT_EQ(tenonStreamSynchronize(stream), tenonSuccess) << "an error is told once";
    });
}

// Calls that still wait for their turn when their communicator is aborted end too, and hold up neither the abort nor
// the other communicators of their group.
TEST(Streams, QueuedCallsOfAnAbortedCommunicatorEnd) {
    const CJob job(2), other(2);
    const Stream stream;
    float value = 1, sums[3] = {};
    ASSERT_EQ(did(tenonAllReduce(&value, &sums[0], 1, tenonFloat, tenonSum, job.comm(0), stream)),
              "success");  // nobody comes
    ASSERT_EQ(did(tenonGroupStart()), "success");
    ASSERT_EQ(did(tenonAllReduce(&value, &sums[1], 1, tenonFloat, tenonSum, job.comm(0), stream)), "success");
    ASSERT_EQ(did(tenonAllReduce(&value, &sums[2], 1, tenonFloat, tenonSum, other.comm(0), stream)), "success");
    ASSERT_EQ(did(tenonGroupEnd()), "success");

    std::thread peer([&] {
        float theirs = 2, sum = 0;
        EXPECT_EQ(did(tenonAllReduce(&theirs, &sum, 1, tenonFloat, tenonSum, other.comm(1), nullptr)), "success");
        EXPECT_EQ(sum, 3);
    });
    EXPECT_EQ(did(tenonCommAbort(job.comm(0))), "success");
    EXPECT_EQ(tenonStreamSynchronize(stream), tenonAborted);
    peer.join();
    EXPECT_EQ(sums[2], 3) << "the group's other communicator went on";
    other.run([](tenonComm_t comm, int) { EXPECT_EQ(did(tenonBarrier(comm, nullptr)), "success"); });
}

TEST(Streams, FinishTheirWorkBeforeTheyAreDestroyed) {
    const CJob job(2);
    job.run([&](tenonComm_t comm, int) {
        tenonStream_t stream = nullptr;
        EXPECT_EQ(did(tenonStreamCreate(&stream)), "success");
        tenonStreamKind_t kind;
        EXPECT_EQ(did(tenonStreamGetKind(stream, &kind)), "success");
        EXPECT_EQ(kind, tenonStreamHost);
        Numbers n(100'000, 1);
        EXPECT_EQ(did(tenonAllReduce(n.data(), n.data(), n.size(), tenonInt32, tenonSum, comm, stream)), "success");
        EXPECT_EQ(did(tenonStreamDestroy(stream)), "success");
        EXPECT_EQ(n, Numbers(100'000, 2));
    });
}

}  // namespace
}  // namespace tenon::conformance
