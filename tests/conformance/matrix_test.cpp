// Every collective equals the reference: whatever the algorithm, type, operation, size, root, memory and rank count, in
// place and not. The rows of Matrix cover every two values; ExhaustiveMatrix is the full product.
#include <gtest/gtest.h>

#include <set>

#include "library/registry.hpp"
#include "tests/conformance/cases.hpp"
#include "tests/conformance/local_job.hpp"
#include "tests/support/seed.hpp"

namespace tenon::conformance {
namespace {

using support::Memory;
using support::Reference;
using support::Shape;
using support::Values;

class Matrix : public ::testing::TestWithParam<Case> {};

TEST_P(Matrix, EqualsTheReference) {
    const Case& c = GetParam();
    const Reference reference(c.shape, c.values, false, support::test_seed());
    LocalJob job(c.shape.rank_count, config_of(c));
    // More than once, since a first call prepares what later ones reuse.
    for (int call = 0; call < 3; call++) job.expect_right(reference, c.in_place, c.memory);
}

INSTANTIATE_TEST_SUITE_P(Covering, Matrix, ::testing::ValuesIn(covering_cases()),
                         [](const auto& row) { return name_of(row.param); });

struct Part {
    const Algorithm* algorithm;
    Rank rank_count;
    DataType type;
};

std::vector<Part> parts() {
    std::vector<Part> all;
    for (const Algorithm& algorithm : algorithms())
        for (const Rank rank_count : rank_counts)
            for (std::size_t type = 0; type < data_type_count; type++)
                if (serves(algorithm, {.rank_count = rank_count}) &&
                    (type == 0 || algorithm.collective != Collective::barrier))
                    all.push_back({&algorithm, rank_count, static_cast<DataType>(type)});
    return all;
}

std::string name_of(const Part& p) {
    return std::string(name_of(p.algorithm->collective)) + "_" + std::string(p.algorithm->name) + "_" +
           std::string(name_of(p.type)) + "_of_" + std::to_string(p.rank_count);
}

void PrintTo(const Part& p, std::ostream* out) { *out << name_of(p); }

class ExhaustiveMatrix : public ::testing::TestWithParam<Part> {
protected:
    void expect_right(LocalJob& job, const Shape& shape, Memory memory) {
        for (const Values values : {Values::exact, Values::ordinary}) {
            if (values == Values::ordinary && !reduces(shape.collective)) continue;
            const Reference reference(shape, values, false, support::test_seed());
            for (const bool in_place : {false, true}) job.expect_right(reference, in_place, memory);
        }
    }
};

TEST_P(ExhaustiveMatrix, EqualsTheReference) {
    const auto& [algorithm, rank_count, type] = GetParam();
    const std::set<Rank> roots =
        is_rooted(algorithm->collective) ? std::set<Rank>{0, rank_count / 2, rank_count - 1} : std::set<Rank>{0};
    const std::size_t ops = reduces(algorithm->collective) ? reduce_op_count : 1;
    struct Way {
        TransportChoice transport;
        DirectAccess access;
        Memory memory;
    };
    constexpr Way ways[] = {{TransportChoice::inproc, DirectAccess::off, Memory::ordinary},
                            {TransportChoice::inproc, DirectAccess::automatic, Memory::ordinary},
                            {TransportChoice::shm, DirectAccess::automatic, Memory::tenon},
                            {TransportChoice::shm, DirectAccess::all, Memory::ordinary}};
    std::size_t way = 0;
    for (const auto& [transport, access, memory] : ways) {
        LocalJob job(rank_count, config_of({.algorithm = algorithm,
                                            .transport = transport,
                                            .groups = groups_among_threads(rank_count, way++),
                                            .direct_access = access}));
        for (const std::size_t count : element_counts) {
            if (!serves(*algorithm, {.type = type, .count = count})) continue;
            for (std::size_t op = 0; op < ops; op++)
                for (const Rank root : roots)
                    expect_right(job, {algorithm->collective, type, static_cast<ReduceOp>(op), rank_count, root, count},
                                 memory);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Product, ExhaustiveMatrix, ::testing::ValuesIn(parts()),
                         [](const auto& part) { return name_of(part.param); });

}  // namespace
}  // namespace tenon::conformance
