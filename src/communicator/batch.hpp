// A batch: calls of one or several communicators that are issued as if at the same time, by one thread: what a group
// becomes. Calls of one communicator run in their order, its sends and receives all at once; different communicators'
// calls advance side by side, so that one thread can serve several ranks.
//
// Small all-reduces of one communicator, type and operation that follow each other become one (fused): the ranks agree
// on it because they agree on the calls.
//
// Built by one thread, run by one thread (maybe another), once.
#pragma once

#include <memory>
#include <vector>

#include "communicator/communicator.hpp"

namespace tenon {

class Batch {
public:
    Batch();
    ~Batch();
    Batch(Batch&&) noexcept;

    // The call has been checked. Its arrays are copied, its buffers are not.
    void add(Communicator& communicator, const Call& call);
    // Reserves every communicator's turn, in the order of issue; run() should follow.
    void take_tickets();
    Result<void> run();  // the first error of any call
    // Lets others have their turns, and leaves the communicators alone from then on. The destructor does so too.
    void end_turns();
    void forget_turns() { has_turns_ = false; }  // of communicators that are no more
    bool empty() const { return sequences_.empty(); }

private:
    class Sequence;
    std::vector<std::unique_ptr<Sequence>> sequences_;  // one for each communicator
    bool has_turns_ = false;
};

}  // namespace tenon
