// A Mixture-of-Experts layer with a residual: y = x + the sum over a token's top-k experts of weight * expert(x).
//
// The router is an affine layer; a token's weights are the softmax over the scores of the experts that it chose.
// Besides the gradient through the weights the router gets that of a loss that keeps the experts' shares even (Fedus,
// Zoph and Shazeer, Switch Transformers, JMLR 2022), each micro-batch by itself. A layer with one expert and one slot
// is a dense feed-forward layer. backward() follows forward(). One thread at a time.
#pragma once

#include <cmath>
#include <numeric>

#include "exchange.hpp"

namespace mixture {

inline constexpr float balance = 0.02F;  // what an uneven load costs, in the unit of the loss

class MoeLayer {
public:
    // The router's parameters are at `offset` of the shared ones.
    MoeLayer(const MoeShape& shape, Exchange& exchange, std::size_t offset)
        : shape_(shape),
          exchange_(exchange),
          router_{{shape.width, shape.experts}, offset},
          expert_{shape.width, shape.inner_width} {}

    const SharedAffine& router() const { return router_; }
    const FeedForward& expert() const { return expert_; }

    void forward(const Parameters& parameters, const Vector& x, Vector& y) {
        scores_.resize(x.size() / shape_.width * shape_.experts);
        router_.forward(parameters, x, scores_);
        choose_experts();
        rows_ = exchange_.prepare(chosen_, weights_);
        inputs_.resize(rows_.slots.size() * shape_.width);
        inner_.resize(rows_.slots.size() * shape_.inner_width);
        outputs_.resize(inputs_.size());

        exchange_.dispatch(x, inputs_);
        for_each_expert([&](std::size_t expert, std::size_t row, std::size_t count) {
            expert_.forward(&parameters.experts[expert * expert_.parameter_count()], &inputs_[row * shape_.width],
                            count, &inner_[row * shape_.inner_width], &outputs_[row * shape_.width]);
        });
        exchange_.combine(outputs_, true, y);
        for (std::size_t i = 0; i < x.size(); ++i) y[i] += x[i];
    }

    void backward(const Parameters& parameters, const Vector& x, const Vector& dy, Vector& dx, Gradients& gradients) {
        // The gradient of a combine is a dispatch, each row times its weight; that of the weight, row times output.
        Vector d_outputs(outputs_.size()), d_inputs(inputs_.size()), d_row_weights(rows_.weights.size());
        exchange_.dispatch(dy, d_outputs);
        for (std::size_t row = 0; row < d_row_weights.size(); ++row)
            for (std::size_t i = row * shape_.width; i < (row + 1) * shape_.width; ++i) {
                d_row_weights[row] += d_outputs[i] * outputs_[i];
                d_outputs[i] *= rows_.weights[row];
            }
        for_each_expert([&](std::size_t expert, std::size_t row, std::size_t count) {
            const std::size_t offset = expert * expert_.parameter_count();
            expert_.backward(&parameters.experts[offset], &inputs_[row * shape_.width],
                             &inner_[row * shape_.inner_width], &d_outputs[row * shape_.width], count,
                             &d_inputs[row * shape_.width], &gradients.experts[offset]);
        });
        // The gradient of a dispatch is a combine without weights.
        exchange_.combine(d_inputs, false, dx);
        for (std::size_t i = 0; i < dx.size(); ++i) dx[i] += dy[i];

        Vector d_weights(weights_.size());
        exchange_.combine_slots(d_row_weights, d_weights);
        router_.backward(parameters, x, score_gradient(d_weights, gradients.shared.size()), dx, gradients);
    }

private:
    // One call for each expert that has rows: action(expert, first row, rows).
    template <class Action>
    void for_each_expert(Action action) const {
        std::size_t row = 0;
        for (std::size_t expert = 0; expert < rows_.counts.size(); row += rows_.counts[expert], ++expert)
            if (rows_.counts[expert] > 0) action(expert, row, rows_.counts[expert]);
    }

    void choose_experts() {
        const std::size_t tokens = scores_.size() / shape_.experts;
        chosen_.resize(tokens * shape_.top_k);
        weights_.resize(tokens * shape_.top_k);
        std::vector<std::int64_t> order(shape_.experts);
        for (std::size_t token = 0; token < tokens; ++token) {
            const float* const scores = &scores_[token * shape_.experts];
            std::iota(order.begin(), order.end(), 0);
            std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return scores[a] > scores[b]; });
            float sum = 0;
            for (std::size_t slot = 0; slot < shape_.top_k; ++slot) {
                chosen_[token * shape_.top_k + slot] = order[slot];
                sum += weights_[token * shape_.top_k + slot] = std::exp(scores[order[slot]] - scores[order[0]]);
            }
            for (std::size_t slot = 0; slot < shape_.top_k; ++slot) weights_[token * shape_.top_k + slot] /= sum;
        }
    }

    Vector score_gradient(const Vector& d_weights, std::size_t parts) const {
        Vector d_scores(scores_.size());
        for (std::size_t first = 0; first < weights_.size(); first += shape_.top_k) {  // of a token's slots
            float mean = 0;
            for (std::size_t i = first; i < first + shape_.top_k; ++i) mean += weights_[i] * d_weights[i];
            float* const d_token = &d_scores[first / shape_.top_k * shape_.experts];
            for (std::size_t i = first; i < first + shape_.top_k; ++i)
                d_token[chosen_[i]] = weights_[i] * (d_weights[i] - mean);
        }
        const std::size_t part_size = scores_.size() / shape_.experts / parts;
        for (std::size_t part = 0; part < parts; ++part) add_balance_gradient(part * part_size, part_size, d_scores);
        return d_scores;
    }

    // The loss of a micro-batch's `count` tokens from `first` is balance * experts * the sum over the experts of the
    // share of slots that chose one, and the mean probability that the router gives it.
    void add_balance_gradient(std::size_t first, std::size_t count, Vector& d_scores) const {
        const std::size_t experts = shape_.experts;
        Vector shares(experts), probabilities(experts);
        for (std::size_t i = first * shape_.top_k; i < (first + count) * shape_.top_k; ++i)
            shares[static_cast<std::size_t>(chosen_[i])] += 1.0F / static_cast<float>(count * shape_.top_k);
        const float scale = balance * static_cast<float>(experts) / static_cast<float>(count * micro_batches);
        for (std::size_t token = first; token < first + count; ++token) {
            const float* const scores = &scores_[token * experts];
            const float largest = *std::max_element(scores, scores + experts);
            float sum = 0, mean = 0;
            for (std::size_t e = 0; e < experts; ++e) sum += probabilities[e] = std::exp(scores[e] - largest);
            for (std::size_t e = 0; e < experts; ++e) mean += (probabilities[e] /= sum) * shares[e];
            for (std::size_t e = 0; e < experts; ++e)
                d_scores[token * experts + e] += scale * probabilities[e] * (shares[e] - mean);
        }
    }

    MoeShape shape_;
    Exchange& exchange_;
    SharedAffine router_;
    FeedForward expert_;
    ExpertRows rows_;
    Vector scores_, weights_, inputs_, inner_, outputs_;
    std::vector<std::int64_t> chosen_;  // by token and slot, like the weights
};

}  // namespace mixture
