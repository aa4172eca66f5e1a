// Work: what a communicator carries out, as a resumable state machine: an Execution of a Program, or an exchange whose
// messages follow from data that only this call knows (src/exchange).
//
// advance() does all that can be done now and never waits; how to wait, for how long, and what else to look at
// meanwhile is the Backoff's and the Watch's (waiter.hpp). Work belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tenon/plugin/slots.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

// What is local to this call and this machine: never agreed, never changes a bit of the result.
struct AccessPolicy {
    std::uint64_t direct_min_bytes =
        UINT64_MAX;  // messages from here on are exposed or put where memory can be addressed
    std::uint64_t copy_min_bytes = UINT64_MAX;    // the same where only the kernel can copy (process_vm_readv)
    bool streaming_stores = false;                // to the output, past the caches
    bool streaming_slots = false;                 // to the slots that a peer reads
};

enum class Progress { blocked, done, failed };

class Work {
public:
    virtual ~Work() = default;
    virtual Progress advance() = 0;

    // When it is not 0, the run blocks before it touches memory of another rank, and must be given up.
    void heed(const std::uint64_t* failure_flag) { failure_flag_ = failure_flag; }
    const Error& error() const { return error_; }
    bool moved() const { return moved_; }  // did the last advance() get anything done?
    bool sent() const { return sent_; }    // and was a message sent among that?

    // For verdicts on a run that is blocked: for whom it waits, as far as is known, and in which step.
    virtual Rank awaited_peer() const = 0;
    virtual std::string step_in_words() const = 0;
    // A message that another rank has sent in this call contradicts what only the pair must agree on.
    struct Contradiction {
        Rank peer = no_rank;
        std::uint64_t bytes = 0;  // that were expected
    };
    virtual std::optional<Contradiction> contradiction() const = 0;

protected:
    bool must_stand_back() const { return load_relaxed(*failure_flag_) != 0; }
    const std::uint64_t* heeded() const { return failure_flag_; }

    bool moved_ = false, sent_ = false;
    Error error_;

private:
    static constexpr std::uint64_t never_fails = 0;
    const std::uint64_t* failure_flag_ = &never_fails;
};

}  // namespace tenon
