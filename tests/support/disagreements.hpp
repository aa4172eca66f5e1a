// Pairs of calls that ranks must not make at the same time, and what the error must say of each.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/support/c_calls.hpp"

namespace tenon::support {

struct Disagreement {
    std::string name;
    std::vector<Shape> usual, odd;        // calls in order, of all other ranks and of the one that differs
    std::string usual_words, odd_words;  // part of the error on every rank
};

inline void PrintTo(const Disagreement& d, std::ostream* out) { *out << d.name; }

inline std::vector<Disagreement> disagreements() {
    const Shape sum{.collective = Collective::all_reduce, .type = DataType::float32, .op = ReduceOp::sum, .count = 100};
    const auto with = [](Shape shape, auto member, auto value) {
        shape.*member = value;
        return shape;
    };
    const Shape gather{.collective = Collective::all_gather, .type = DataType::int64, .count = 30'000};
    const Shape broadcast{.collective = Collective::broadcast, .type = DataType::uint8, .root = 0, .count = 500};
    const Shape barrier{};
    return {
        {"small_count",
         {sum},
         {with(sum, &Shape::count, 99)},
         "all_reduce of 100 float32, sum",
         "all_reduce of 99 float32, sum"},
        {"tiny_count",
         {with(sum, &Shape::count, 1)},
         {with(sum, &Shape::count, 2)},
         "all_reduce of 1 float32",
         "all_reduce of 2 float32"},
        {"large_count",
         {with(sum, &Shape::count, 300'000)},
         {with(sum, &Shape::count, 299'999)},
         "300000 float32",
         "299999 float32"},
        {"no_elements", {sum}, {with(sum, &Shape::count, 0)}, "all_reduce of 100 float32", "all_reduce of 0 float32"},
        {"type", {sum}, {with(sum, &Shape::type, DataType::int32)}, "100 float32", "100 int32"},
        {"operation", {sum}, {with(sum, &Shape::op, ReduceOp::max)}, "float32, sum", "float32, max"},
        {"root",
         {broadcast},
         {with(broadcast, &Shape::root, 1)},
         "broadcast of 500 uint8, root 0",
         "broadcast of 500 uint8, root 1"},
        {"collective",
         {sum},
         {with(sum, &Shape::collective, Collective::reduce)},
         "all_reduce of 100",
         "reduce of 100"},
        {"large_and_small", {gather}, {barrier}, "all_gather of 30000 int64", "barrier"},
        {"order", {sum, gather}, {gather, sum}, "all_reduce of 100 float32, sum", "all_gather of 30000 int64"},
    };
}

// A barrier, the calls, and a barrier for ranks whose calls were done before they could notice; the first error, if
// any. The first barrier may end with it too, on a rank that is slow to leave it.
inline tenonResult_t make_calls(const std::vector<Shape>& calls, tenonComm_t comm) {
    int ranks = 0, rank = 0;
    tenonCommCount(comm, &ranks);
    tenonCommUserRank(comm, &rank);
    if (const tenonResult_t result = tenonBarrier(comm, nullptr); result != tenonSuccess) return result;
    for (Shape call : calls) {
        call.rank_count = ranks;
        const std::size_t bytes = call.count * static_cast<std::size_t>(ranks) * element_bytes(call.type);
        std::vector<std::byte> in(bytes), out(bytes);
        if (const tenonResult_t result = submit(call, in.data(), out.data(), comm); result != tenonSuccess)
            return result;
    }
    return tenonBarrier(comm, nullptr);
}

}  // namespace tenon::support
