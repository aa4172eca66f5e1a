// The conformance matrix: every dimension in which a call may vary, the rows that cover every two values of different
// dimensions, and what runs one row. Enumerated from the registry, so that a new algorithm is tested without a line
// here.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "tenon/plugin/algorithm.hpp"
#include "tests/support/guarded_buffer.hpp"
#include "tests/support/reference.hpp"

namespace tenon::conformance {

struct Case {
    const Algorithm* algorithm = nullptr;
    support::Shape shape{};
    TransportChoice transport = TransportChoice::automatic;  // inproc, or as between processes or hosts
    std::string_view network{};                              // which, between hosts
    unsigned sockets = 1;                                    // between two ranks, where it has them
    std::string groups{};                                    // TENON_GROUPS; empty: those of the hosts
    bool in_place = false;
    support::Memory memory = support::Memory::ordinary;
    DirectAccess direct_access = DirectAccess::automatic;
    StreamingStores streaming_stores = StreamingStores::automatic;
    bool few_slots = false;  // and small ones, so that messages take several turns
    support::Values values = support::Values::exact;
};

// A name for GoogleTest: "all_reduce_ring_float16_sum_1025_of_4_in_place_...".
std::string name_of(const Case& c);
void PrintTo(const Case& c, std::ostream* out);

// Whether the algorithm can serve the shape.
bool serves(const Algorithm& algorithm, const support::Shape& shape);
// The algorithm forced, and everything else as the case says.
Config config_of(const Case& c);

inline constexpr std::size_t element_counts[] = {0, 1, 7, 1023, 1025, 65'537, 1'048'579};
inline constexpr Rank rank_counts[] = {1, 2, 3, 4, 8};
// Those that this program tests between threads of one process.
std::span<const TransportChoice> transports_among_threads();

// Groups to play for so many threads; which of several, by any number.
std::string groups_among_threads(Rank rank_count, std::size_t number);

// Where the rows are run.
struct Ways {
    std::span<const Rank> rank_counts = conformance::rank_counts;
    std::span<const TransportChoice> transports = transports_among_threads();
    bool plays_groups = true;  // or has hosts
};
std::vector<Case> covering_cases(const Ways& ways = {});

// Cases of one configuration, for one communicator.
struct CasesTogether {
    std::vector<Case> cases;
};
std::string name_of(const CasesTogether& together);  // what they have in common
void PrintTo(const CasesTogether& together, std::ostream* out);
// The full product of what a transport can see of a call: algorithm x transport x slots x size x in place x memory.
// What it cannot see (type, operation, root, values) goes round from one size to the next.
std::vector<CasesTogether> product_cases(const Ways& ways);

}  // namespace tenon::conformance
