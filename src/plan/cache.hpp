// The plans that a communicator has built, so that a call of a new count only binds one: plans do not know the count.
//
// Bounded: the plan used least recently goes first. Not thread-safe; owned by a communicator, for whose topology all of
// its plans are. Algorithms outlive it.
#pragma once

#include <list>

#include "tenon/plugin/algorithm.hpp"

namespace tenon {

class PlanCache {
public:
    explicit PlanCache(std::size_t capacity = 64);

    // The algorithm's plan for the request, built if need be; an error is the algorithm's own and is not kept. The plan
    // is valid until the next call.
    Result<const Plan*> plan_for(const Algorithm& algorithm, const Request& request, const Topology& topology);

    std::size_t size() const { return entries_.size(); }

private:
    struct Entry {
        const Algorithm* algorithm;
        Request request;
        Plan plan;
    };
    std::size_t capacity_;
    std::list<Entry> entries_;  // the last used comes first
};

}  // namespace tenon
