// What the ranks of a communicator know of each other beside the messages: which calls each has made, who has left, and
// the one error that ended the job. Lies at the start of the memory that all ranks of a host share; what ranks of other
// hosts would write there, the host's Relay does for them.
//
// record() is for the rank's own thread; everything else may be called by any thread at any time. Nothing here waits.
// Invariants: the first error raised is the one that every rank reports; records of a rank are only written by it.
#pragma once

#include <array>
#include <atomic>
#include <optional>
#include <string>

#include "tenon/plugin/slots.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

struct CallRecord {
    std::uint64_t number = 0;  // of the communicator's calls, from 1
    std::uint64_t count = 0;
    std::uint32_t signature = 0;
    Collective collective = Collective::barrier;
    DataType type = DataType::int8;
    ReduceOp op = ReduceOp::sum;
    Rank root = 0;
};

class JobControl {
public:
    static constexpr std::uint64_t records_kept = 8, findings_kept = 61;
    static std::uint64_t bytes(Rank rank_count);
    JobControl(std::byte* area, Rank rank, Rank rank_count);

    // Notes a call of this rank, for others to compare with theirs.
    void record(const CallRecord& call) {
        write(own_->calls[call.number & (records_kept - 1)], {call.number, call.count, pack(call)});
    }
    // The call with this number that `rank` has made, if it has and it is not long ago.
    std::optional<CallRecord> call_of(Rank rank, std::uint64_t number) const;
    // The rank has not made the call with this number yet.
    bool is_behind(Rank rank, std::uint64_t number) const {
        return load_acquire(ranks_[rank].calls[number & (records_kept - 1)].number) < number;
    }

    void join();
    void leave();
    bool has_left(Rank rank) const;
    // For the Relay. What it knows of a rank's calls is told as it is; of one on another host it is written as told.
    struct Entry {
        std::uint64_t number = 0, count = 0, what = 0;
    };
    using Calls = std::array<Entry, records_kept>;
    // Whether a record that came from elsewhere can be put into words.
    static bool is_sound(const Entry& entry) {
        return (entry.what >> 28 & 15) < collective_count && (entry.what >> 24 & 15) < data_type_count &&
               (entry.what >> 20 & 15) < reduce_op_count;
    }
    Calls calls_of(Rank rank) const;
    void put_calls(Rank rank, const Calls& calls);
    void put_left(Rank rank);
    // This rank knows of the failure, and touches no other's memory any more.
    void stand_back();
    bool stands_back(Rank rank) const;

    bool failed() const { return load_relaxed(shared_->failure_state) != 0; }
    const std::uint64_t* failure_flag() const { return &shared_->failure_state; }  // not 0: failed
    Error failure() const;
    bool raise(const Error& error);  // whether it is the first one, which stays

    // What one rank has found out for all, a number below 8 for a question: `what` is any hash of it. May be forgotten.
    void tell_finding(std::uint64_t what, unsigned finding) {
        store_relaxed(shared_->findings[what % findings_kept], (what & ~std::uint64_t{7}) | finding);
    }
    std::optional<unsigned> finding(std::uint64_t what) const {
        const std::uint64_t told = load_relaxed(shared_->findings[what % findings_kept]);
        return told != 0 && told / 8 == what / 8 ? std::optional(static_cast<unsigned>(told & 7)) : std::nullopt;
    }

    // Sleeping ranks: a bell that whoever moved something rings when somebody sleeps.
    bool somebody_sleeps() const { return shared_->sleepers.load(std::memory_order_relaxed) != 0; }
    void ring();
    void sleep(std::uint64_t most_us);

private:
    struct SharedEntry {
        std::uint64_t number, count, what, unused;
    };
    struct alignas(cache_line_bytes) PerRank {
        SharedEntry calls[records_kept];
        alignas(cache_line_bytes) std::uint64_t stage;  // 0 not there yet, 1 joined, 2 left
        std::uint64_t stands_back;
    };
    struct alignas(cache_line_bytes) Shared {
        std::uint64_t failure_state;  // 0 none, 1 being written, 2 written
        std::uint64_t failure_status;
        char failure_message[2000];
        std::uint64_t findings[findings_kept];
        alignas(cache_line_bytes) std::atomic<std::uint32_t> sleepers;
        alignas(cache_line_bytes) std::atomic<std::uint32_t> bell;
    };
    static void write(SharedEntry& entry, const Entry& call) {
        store_relaxed(entry.number, 0);
        std::atomic_signal_fence(std::memory_order_release);
        store_relaxed(entry.count, call.count);
        store_relaxed(entry.what, call.what);
        store_release(entry.number, call.number);
    }
    // Nothing while it is being written.
    static std::optional<Entry> read(const SharedEntry& entry) {
        const Entry call{load_acquire(entry.number), load_relaxed(entry.count), load_relaxed(entry.what)};
        std::atomic_thread_fence(std::memory_order_acquire);
        return load_relaxed(entry.number) == call.number ? std::optional(call) : std::nullopt;
    }
    static std::uint64_t pack(const CallRecord& c) {
        return static_cast<std::uint64_t>(c.signature) << 32 | static_cast<std::uint64_t>(c.collective) << 28 |
               static_cast<std::uint64_t>(c.type) << 24 | static_cast<std::uint64_t>(c.op) << 20 |
               (static_cast<std::uint64_t>(c.root) & 0xfffff);
    }

    Shared* shared_;
    PerRank* ranks_;
    PerRank* own_;
};

// "all_reduce of 1024 float32, sum" and the like.
std::string in_words(const CallRecord& call);

}  // namespace tenon
