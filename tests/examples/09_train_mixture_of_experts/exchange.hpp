// What a step of training needs of other processes.
//
// A step has four micro-batches. Either each of four ranks computes one of them and has a quarter of the experts
// (exchange_between_ranks.hpp), or one process has all (exchange_alone.hpp), its tokens one micro-batch after the
// other. Both give the same bits, because both keep to what Tenon documents:
//  - The rows of an expert lie by source rank, token and slot: with all tokens in one process, by token and slot. So an
//    expert's gradient, added up row by row, is the same sum.
//  - A combine adds the rows of a token in the order of its slots.
//  - Four gradients or losses are added as (g0 + g1) + (g2 + g3).
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "layers.hpp"

namespace mixture {

inline constexpr std::size_t micro_batches = 4;  // of a step

struct MoeShape {
    std::size_t experts, top_k, width,
        inner_width;  // of the model; slots of a token; elements of a token; of an expert
};

// Of a process: which micro-batches it computes, and which experts it has.
struct Share {
    std::size_t first_micro_batch, micro_batches, first_expert, experts;
};

// The tokens that came to a process, once for each of its experts that they chose: expert by expert.
struct ExpertRows {
    std::vector<std::size_t> counts;  // by expert of this process
    std::vector<int> slots;           // by row, like the weights
    Vector weights;
};

class Exchange {
public:
    virtual ~Exchange() = default;
    virtual Share share() const = 0;

    // Begins a routing: the experts and weights of each token of this process, [tokens][top_k].
    virtual ExpertRows prepare(const std::vector<std::int64_t>& chosen, const Vector& weights) = 0;
    // tokens[tokens][width] to rows[rows][width].
    virtual void dispatch(const Vector& tokens, Vector& rows) = 0;
    // The sums of rows[rows][width], by weight or as they are, to tokens[tokens][width].
    virtual void combine(const Vector& rows, bool weighted, Vector& tokens) = 0;
    // A number of each row, to the token and slot that the row is of: values[rows] to slots[tokens][top_k].
    virtual void combine_slots(const Vector& values, Vector& slots) = 0;

    // The sum over all micro-batches, of a vector for each micro-batch of this process.
    virtual Vector sum(std::vector<Vector> parts) = 0;
    virtual std::vector<double> sum(std::vector<std::vector<double>> parts) = 0;
};

}  // namespace mixture
