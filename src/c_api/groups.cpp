// Groups: what a thread calls between tenonGroupStart and tenonGroupEnd becomes one batch per stream.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "c_api/handles.hpp"

namespace tenon::c_api {
namespace {

// The calls of a group that go to one stream, in the order of issue, and whose they are.
struct Part {
    tenonStream_t stream;
    Batch batch;
    std::vector<tenonComm*> members;
};

struct Group {
    std::vector<Part> parts;  // in the order of first use
    tenonResult_t error = tenonSuccess;
};
thread_local Group group;

// Marks a thread as inside all communicators of a part.
class InsideAll {
public:
    explicit InsideAll(const std::vector<tenonComm*>& comms) : comms_(comms) {
        for (tenonComm* c : comms_) Inside::enter(*c);
    }
    ~InsideAll() {
        for (tenonComm* c : comms_) Inside::leave(*c);
    }
    InsideAll(const InsideAll&) = delete;
    InsideAll& operator=(const InsideAll&) = delete;

private:
    const std::vector<tenonComm*>& comms_;
};

// What fails is told to the communicators that it ended, in whichever thread it happens, before others have their turns.
Result<void> run(Part& part) {
    const InsideAll inside(part.members);
    for (const tenonComm* c : part.members)
        if (!is_alive(c)) {
            part.batch.forget_turns();
            refuse_handle(c, "tenonGroupEnd");
            return fail(Status::invalid_argument, last_error_of_thread());
        }
    const Result<void> result = part.batch.run();
    for (tenonComm* c : part.members)
        if (!result && c->communicator->failure()) report(result.error(), c);
    part.batch.end_turns();
    return result;
}

void add(std::vector<Part>& parts, tenonComm* comm, const Call& call, tenonStream_t stream) {
    auto part = std::ranges::find(parts, stream, &Part::stream);
    if (part == parts.end()) {
        parts.push_back({stream, {}, {}});
        part = std::prev(parts.end());
    }
    part->batch.add(*comm->communicator, call);
    if (std::ranges::find(part->members, comm) == part->members.end()) part->members.push_back(comm);
}

tenonResult_t issue(std::vector<Part>& parts) {
    for (const Part& part : parts)
        for (const tenonComm* c : part.members)
            if (!is_alive(c)) return refuse_handle(c, "tenonGroupEnd");
    for (Part& part : parts) part.batch.take_tickets();
    // Streams first: what runs in this thread may wait for them.
    for (Part& part : parts)
        if (part.stream != nullptr)
            part.stream->stream.put([shared = std::make_shared<Part>(std::move(part))]() -> Result<void> { return run(*shared); });
    const auto own = std::ranges::find(parts, nullptr, &Part::stream);
    if (own == parts.end()) return tenonSuccess;
    const Result<void> result = run(*own);
    return result ? tenonSuccess : report(result.error());
}

}  // namespace

thread_local int group_depth = 0;

void refuse_group(tenonResult_t why) {
    if (in_group() && group.error == tenonSuccess) group.error = why;
}

tenonResult_t add_to_group(tenonComm* comm, const Call& call, tenonStream_t stream) {
    add(group.parts, comm, call, stream);
    return tenonSuccess;
}

tenonResult_t issue_alone(tenonComm* comm, const Call& call, tenonStream_t stream) {
    std::vector<Part> parts;
    add(parts, comm, call, stream);
    return issue(parts);
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
        std::vector<Part> parts = std::exchange(group.parts, {});
        const tenonResult_t refused = std::exchange(group.error, tenonSuccess);
        if (refused != tenonSuccess) return refused;
        return issue(parts);
    });
}
