// A batch: calls of one or several communicators that are issued as if at the same time, by one thread: what a group
// becomes. Calls of one communicator run in their order, its sends and receives all at once; different communicators'
// calls advance side by side, so that one thread can serve several ranks.
//
// Small all-reduces of one communicator, type and operation that follow each other become one (fused): the ranks agree
// on it because they agree on the calls.
//
// Built by one thread, run by one thread (maybe another), once.
#pragma once

#include <functional>
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
    // Reserves every communicator's turn, in the order of issue; run() should follow. A communicator stays until its
    // turn has ended: when its calls are done or have failed, and at the latest when the batch dies.
    void take_tickets();
    // Returns the first error of any call. `failed` is told of each communicator's, before its turn ends.
    Result<void> run(const std::function<void(Communicator&, const Error&)>& failed);

private:
    class Sequence;
    std::vector<std::unique_ptr<Sequence>> sequences_;  // one for each communicator
};

}  // namespace tenon
