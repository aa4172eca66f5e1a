// A small language model: from the eight characters before it, how likely is each next character? Embeddings, a tanh
// layer, a Mixture-of-Experts layer, softmax; gradients by hand.
//
// A model object is one process's part: all shared parameters and the process's own experts. Its tokens are those of
// its own micro-batches, one after the other and equally many of each. One thread at a time.
#pragma once

#include <random>
#include <span>
#include <string>

#include "../character_text.hpp"
#include "moe_layer.hpp"

namespace mixture {

inline constexpr std::size_t context = 8, embedding_width = 12;
using Positions = std::vector<std::size_t>;  // of the characters to predict, from `context`

class LanguageModel {
public:
    LanguageModel(const MoeShape& shape, Exchange& exchange, unsigned seed)
        : share_(exchange.share()),
          input_{{context * embedding_width, shape.width}, symbols * embedding_width},
          moe_(shape, exchange, input_.end()),
          output_{{shape.width, symbols}, moe_.router().end()} {
        parameters_.shared.resize(output_.end());
        std::mt19937 random(seed);
        fill(random, {parameters_.shared.data(), input_.offset}, 1, 0.5F);
        fill(random, weights_of(input_), input_.inputs, 1.5F);
        fill(random, weights_of(moe_.router()), shape.width, 0.5F);
        fill(random, weights_of(output_), shape.width, 0.5F);
        initialise_experts(seed);
    }

    Parameters& parameters() { return parameters_; }

    Gradients no_gradients() const {
        return {.shared = std::vector<Vector>(share_.micro_batches, Vector(parameters_.shared.size())),
                .experts = Vector(parameters_.experts.size())};
    }

    // The summed loss, in nats, of the predictions in each micro-batch of this process.
    std::vector<double> forward(const std::string& text, const Positions& positions) {
        const std::size_t tokens = positions.size();
        x_.resize(tokens * input_.inputs);
        hidden_.resize(tokens * input_.outputs);
        features_.resize(hidden_.size());
        probabilities_.resize(tokens * symbols);
        for (std::size_t i = 0; i < tokens * context; ++i)
            std::copy_n(&parameters_.shared[embedding_of(text, positions, i)], embedding_width,
                        &x_[i * embedding_width]);
        input_.forward(parameters_, x_, hidden_);
        for (float& value : hidden_) value = std::tanh(value);
        moe_.forward(parameters_, hidden_, features_);
        output_.forward(parameters_, features_, probabilities_);

        std::vector<double> losses(share_.micro_batches);
        for (std::size_t t = 0; t < tokens; ++t)
            losses[t * share_.micro_batches / tokens] +=
                softmax({&probabilities_[t * symbols], symbols}, static_cast<std::size_t>(text[positions[t]]));
        return losses;
    }

    // Adds the gradients of the losses that forward() has just returned, times `scale`.
    void backward(const std::string& text, const Positions& positions, float scale, Gradients& gradients) {
        Vector& d_scores = probabilities_;
        for (std::size_t t = 0; t < positions.size(); ++t)
            d_scores[t * symbols + static_cast<std::size_t>(text[positions[t]])] -= 1;
        for (float& value : d_scores) value *= scale;
        Vector d_features(features_.size()), d_hidden(hidden_.size()), dx(x_.size());
        output_.backward(parameters_, features_, d_scores, d_features, gradients);
        moe_.backward(parameters_, hidden_, d_features, d_hidden, gradients);
        for (std::size_t i = 0; i < hidden_.size(); ++i) d_hidden[i] *= 1 - hidden_[i] * hidden_[i];
        input_.backward(parameters_, x_, d_hidden, dx, gradients);
        for (std::size_t i = 0; i < positions.size() * context; ++i) {
            Vector& gradient = gradients.shared[i * share_.micro_batches / (positions.size() * context)];
            const std::size_t first = embedding_of(text, positions, i);
            for (std::size_t c = 0; c < embedding_width; ++c) gradient[first + c] += dx[i * embedding_width + c];
        }
    }

private:
    // Where the embedding of character i % context of token i / context lies.
    static std::size_t embedding_of(const std::string& text, const Positions& positions, std::size_t i) {
        return static_cast<std::size_t>(text[positions[i / context] - context + i % context]) * embedding_width;
    }

    // Scores become probabilities; returns the loss of the target.
    static float softmax(std::span<float> scores, std::size_t target) {
        const float largest = *std::max_element(scores.begin(), scores.end()), target_score = scores[target];
        float sum = 0;
        for (float& value : scores) sum += value = std::exp(value - largest);
        for (float& value : scores) value /= sum;
        return std::log(sum) - (target_score - largest);
    }

    // Even in +-gain * sqrt(3 / inputs): the variance of a sum of `inputs` of them is gain^2.
    static void fill(std::mt19937& random, std::span<float> weights, std::size_t inputs, float gain) {
        const float bound = gain * std::sqrt(3.0F / static_cast<float>(inputs));
        for (float& value : weights) value = bound * (static_cast<float>(random() >> 8) / 8388608.0F - 1.0F);
    }
    std::span<float> weights_of(const SharedAffine& layer) {
        return {&parameters_.shared[layer.offset], layer.inputs * layer.outputs};
    }

    // Each expert from its own seed, whichever process has it.
    void initialise_experts(unsigned seed) {
        const FeedForward& expert = moe_.expert();
        parameters_.experts.resize(share_.experts * expert.parameter_count());
        for (std::size_t e = 0; e < share_.experts; ++e) {
            std::seed_seq seeds{seed, static_cast<unsigned>(share_.first_expert + e)};
            std::mt19937 random(seeds);
            float* const first = &parameters_.experts[e * expert.parameter_count()];
            const std::size_t weights = expert.width * expert.inner_width;
            fill(random, {first, weights}, expert.width, 1.4F);
            fill(random, {first + expert.first.parameter_count(), weights}, expert.inner_width, 0.3F);
        }
    }

    Share share_;
    SharedAffine input_;
    MoeLayer moe_;
    SharedAffine output_;
    Parameters parameters_;
    Vector x_, hidden_, features_, probabilities_;  // of the last forward()
};

}  // namespace mixture
