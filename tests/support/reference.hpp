// What every collective must give, straight from its definition: the inputs of all ranks, the expected outputs, and a
// comparison that says where a result differs. Immutable; thread-safe.
//
// Results are compared bit for bit, except sums and products of floats that had to be rounded and were not asked to be
// deterministic. Those may round after each addition, in any order: with n ranks the error is at most
// n * eps * (|x_0| + ... + |x_(n-1)|) for sums, that divided by n for averages, n * eps * |x_0 * ... * x_(n-1)| for
// products, where eps is the distance from 1 to the next number of the type (and n of its smallest numbers are added).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/support/pattern.hpp"

namespace tenon::support {

// The agreed part of a call.
struct Shape {
    Collective collective = Collective::barrier;
    DataType type = DataType::int8;
    ReduceOp op = ReduceOp::sum;
    Rank rank_count = 1;
    Rank root = 0;
    std::size_t count = 0;  // of one block
    bool operator==(const Shape&) const = default;
};

std::string in_words(const Shape& shape);
std::size_t input_elements(const Shape& shape, Rank rank);   // 0 where the input is ignored
std::size_t output_elements(const Shape& shape, Rank rank);  // 0 where the output is ignored
// Where, in elements, the smaller of input and output begins in the larger when they are the same memory.
std::size_t in_place_offset(const Shape& shape, Rank rank);

// The bits of what a reduction gives: the one tree over ranks, avg's division last. For one rank, its input.
std::uint64_t reduced(DataType type, ReduceOp op, std::span<const std::uint64_t> elements);

class Reference {
public:
    // `seed` chooses the inputs. `tree`: the bits of rounded sums are compared too.
    Reference(const Shape& shape, Values values, bool tree, std::uint64_t seed);
    // The same with every rank's contribution multiplied by its factor (bits of one element) first.
    Reference(const Shape& shape, Values values, bool tree, std::uint64_t seed, std::span<const std::uint64_t> factors);

    const Shape& shape() const { return shape_; }
    std::vector<std::byte> input(Rank rank) const;
    std::vector<std::byte> output(Rank rank) const;
    // What is wrong with a rank's output; nothing if it is right.
    std::optional<std::string> difference(Rank rank, std::span<const std::byte> got) const;

private:
    void reduce_inputs(std::span<const std::uint64_t> factors, bool bitwise);
    double slack_of(std::span<const std::uint64_t> contributions, std::uint64_t result) const;

    Shape shape_;
    std::vector<Pattern> inputs_;  // by rank; of the root alone where only that counts
    Pattern reduced_;
    std::vector<double> slack_;  // by position in reduced_; empty when bits are compared
};

// The first difference between two runs of elements, in words.
std::optional<std::string> first_difference(DataType type, std::span<const std::byte> got,
                                            std::span<const std::byte> expected);

}  // namespace tenon::support
