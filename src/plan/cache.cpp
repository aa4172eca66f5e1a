#include "plan/cache.hpp"

#include <algorithm>

#include "base/assert.hpp"
#include "plan/boards.hpp"

namespace tenon {
namespace {

// What of a request a plan may depend on; the algorithm is compared apart, and with it the collective.
bool same_plan(const Request& a, const Request& b) {
    return a.rank == b.rank && a.rank_count == b.rank_count && a.root == b.root &&
           element_bytes(a.type) == element_bytes(b.type) && a.deterministic == b.deterministic;
}

}  // namespace

PlanCache::PlanCache(std::size_t capacity) : capacity_(capacity) {
    TENON_ASSERT(capacity > 0, "a plan is valid until the next call, so at least one is kept");
}

Result<const Plan*> PlanCache::plan_for(const Algorithm& algorithm, const Request& request, const Topology& topology) {
    TENON_ASSERT(algorithm.collective == request.collective, "the algorithm is one of the request's collective");
    const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) {
        return entry.algorithm == &algorithm && same_plan(entry.request, request);
    });
    if (found != entries_.end()) {
        entries_.splice(entries_.begin(), entries_, found);
        return &entries_.front().plan;
    }
    auto plan = algorithm.build(request, topology);
    if (!plan) return std::unexpected(plan.error());
    plan->algorithm = algorithm.name;
    if (!topology.has_boards) *plan = without_boards(std::move(*plan));
    entries_.push_front({&algorithm, request, std::move(*plan)});
    if (entries_.size() > capacity_) entries_.pop_back();
    return &entries_.front().plan;
}

}  // namespace tenon
