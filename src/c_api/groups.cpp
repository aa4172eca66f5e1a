// Groups: what a thread calls between tenonGroupStart and tenonGroupEnd becomes one batch per stream.
#include <fmt/format.h>

#include <deque>
#include <map>

#include "c_api/handles.hpp"

namespace tenon::c_api {
namespace {

struct Group {
    std::vector<std::pair<tenonStream_t, Batch>> batches;  // in the order of first use
    std::vector<tenonComm*> members;
    tenonResult_t error = tenonSuccess;
};
thread_local Group group;

// Marks a thread as inside all communicators of a batch.
class InsideAll {
public:
    explicit InsideAll(const std::vector<tenonComm*>& comms) {
        for (tenonComm* c : comms) marks_.emplace_back(*c);
    }

private:
    std::deque<Inside> marks_;  // which do not move
};

// Those inside already. What fails is told to the communicators that it ended, in whichever thread it happens.
Result<void> run_inside(Batch& batch, const std::vector<tenonComm*>& comms) {
    Result<void> result;
    try {
        result = batch.run();
    } catch (...) {
        for (tenonComm* c : comms) report_exception(c);
        result = std::unexpected(Error{Status::system_error, last_error_of_thread()});
    }
    for (tenonComm* c : comms)
        if (!result && c->communicator->failure()) report(result.error(), c);
    return result;
}

tenonResult_t run(Batch& batch, const std::vector<tenonComm*>& comms) {
    const InsideAll inside(comms);
    for (const tenonComm* c : comms)
        if (!is_alive(c)) return refuse_handle(c, "tenonGroupEnd");
    const Result<void> result = run_inside(batch, comms);
    return result ? tenonSuccess : report(result.error());
}

}  // namespace

thread_local int group_depth = 0;

void refuse_group(tenonResult_t why) {
    if (in_group() && group.error == tenonSuccess) group.error = why;
}

tenonResult_t add_to_group(tenonComm* comm, const Call& call, tenonStream_t stream) {
    for (auto& [known, batch] : group.batches) {
        if (known != stream) continue;
        batch.add(*comm->communicator, call);
        group.members.push_back(comm);
        return tenonSuccess;
    }
    group.batches.emplace_back(stream, Batch{});
    group.batches.back().second.add(*comm->communicator, call);
    group.members.push_back(comm);
    return tenonSuccess;
}

}  // namespace tenon::c_api

using namespace tenon;
using namespace tenon::c_api;

tenonResult_t tenonGroupStart(void) {
    group_depth++;
    return tenonSuccess;
}

tenonResult_t tenonGroupEnd(void) {
    if (group_depth == 0) return report(Status::invalid_usage, "tenonGroupEnd without tenonGroupStart");
    if (--group_depth > 0) return tenonSuccess;
    return guarded(nullptr, []() -> tenonResult_t {
        auto batches = std::move(group.batches);
        auto members = std::move(group.members);
        const tenonResult_t refused = std::exchange(group.error, tenonSuccess);
        group.batches.clear();
        group.members.clear();
        if (refused != tenonSuccess) return refused;
        std::ranges::sort(members);
        members.erase(std::ranges::unique(members).begin(), members.end());
        for (auto& [stream, batch] : batches) batch.take_tickets();
        // Streams first: what runs in this thread may wait for them.
        for (auto& [stream, batch] : batches) {
            if (stream == nullptr) continue;
            stream->stream.put([shared = std::make_shared<Batch>(std::move(batch)), members]() -> Result<void> {
                const InsideAll inside(members);
                return run_inside(*shared, members);
            });
        }
        for (auto& [stream, batch] : batches)
            if (stream == nullptr) return run(batch, members);
        return tenonSuccess;
    });
}
