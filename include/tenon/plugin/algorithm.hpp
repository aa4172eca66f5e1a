// An algorithm: a pure function (Request, Topology) -> Plan, and the manifest row that is the only other place naming
// it.
#pragma once

#include <span>

#include "tenon/plugin/plan.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

// What must hold of a request for the algorithm to be eligible. All are agreed facts.
struct Needs {
    bool power_of_two_ranks = false;
    Rank max_ranks = 1 << 20;
    ByteCount max_bytes{UINT64_MAX};  // of one block
};

struct Algorithm {
    std::string_view name;
    Collective collective;
    std::string_view summary;   // when to use it, in a few words
    std::string_view cost;      // steps and bytes
    std::string_view source;    // paper or specification
    Result<Plan> (*build)(const Request&, const Topology&) = nullptr;
    Needs needs{};
    // The sum of every output element is the one tree over ranks (design, invariant 2), formed in one place.
    // The verifier proves it.
    bool deterministic = false;
    // Right when input and output are the same memory in the collective's in-place way. The verifier proves it.
    bool in_place = true;
    // The sum is the same tree where the ranks are a power of two, but formed in several places: only types whose
    // partial sums travel unrounded (not 8- and 16-bit floats) have its bits. The verifier proves it.
    bool deterministic_by_powers = false;
};

}  // namespace tenon
