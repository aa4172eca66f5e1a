// A small language model: from the eight characters before it, how likely is each next character? Nothing here knows of
// ranks. Embeddings, one tanh layer, softmax; gradients by hand. One thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

#include "../character_text.hpp"

namespace character_model {

inline constexpr std::size_t context = 8, width = 12, inputs = context * width, hidden = 96;

// Where each layer lies in the one vector of parameters; a gradient has the same layout.
inline constexpr std::size_t embedding = 0, weights_1 = embedding + symbols * width,
                             bias_1 = weights_1 + inputs * hidden, weights_2 = bias_1 + hidden,
                             bias_2 = weights_2 + hidden * symbols, parameter_count = bias_2 + symbols;
using Vector = std::vector<float>;

// Mean negative log likelihood, in nats per character, of what pairs of characters say: counts of the training text,
// plus one.
inline double bigram_loss(const Text& text) {
    std::array<std::array<double, symbols>, symbols> count;
    std::array<double, symbols> total;
    for (auto& row : count) row.fill(1);
    total.fill(symbols);
    const auto at = [](const std::string& s, std::size_t i) { return static_cast<std::size_t>(s[i]); };
    for (std::size_t i = 1; i < text.training.size(); ++i) {
        count[at(text.training, i - 1)][at(text.training, i)] += 1;
        total[at(text.training, i - 1)] += 1;
    }
    double loss = 0;
    for (std::size_t i = context; i < text.held_out.size(); ++i) {
        const std::size_t before = at(text.held_out, i - 1);
        loss -= std::log(count[before][at(text.held_out, i)] / total[before]);
    }
    return loss / static_cast<double>(text.held_out.size() - context);
}

inline Vector initial_parameters() {
    std::mt19937 random(1);
    const auto fill = [&](Vector& p, std::size_t first, std::size_t count, float scale) {
        for (std::size_t i = first; i < first + count; ++i)
            p[i] = scale * (static_cast<float>(random() >> 8) / 8388608.0F - 1.0F);
    };
    Vector parameters(parameter_count, 0.0F);
    fill(parameters, embedding, symbols * width, 0.5F);
    fill(parameters, weights_1, inputs * hidden, 0.18F);
    fill(parameters, weights_2, hidden * symbols, 0.10F);
    return parameters;
}

template <std::size_t n>
void add_scaled(float* y, float a, const float* x) {
    for (std::size_t i = 0; i < n; ++i) y[i] += a * x[i];
}
template <std::size_t n>
float dot(const float* x, const float* y) {
    std::array<float, 8> sums{};
    for (std::size_t i = 0; i < n; i += 8)
        for (std::size_t j = 0; j < 8; ++j) sums[j] += x[i + j] * y[i + j];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// The loss of predicting s[at] from the characters before it; with a gradient, adds the loss's gradient times `scale`.
inline float loss_at(const Vector& p, const std::string& s, std::size_t at, Vector* gradient = nullptr,
                     float scale = 1) {
    std::array<float, inputs> x;
    for (std::size_t k = 0; k < context; ++k)
        std::copy_n(&p[embedding + static_cast<std::size_t>(s[at - context + k]) * width], width, &x[k * width]);
    std::array<float, hidden> h;
    std::copy_n(&p[bias_1], hidden, h.data());
    for (std::size_t i = 0; i < inputs; ++i) add_scaled<hidden>(h.data(), x[i], &p[weights_1 + i * hidden]);
    for (float& value : h) value = std::tanh(value);
    std::array<float, symbols> y;
    std::copy_n(&p[bias_2], symbols, y.data());
    for (std::size_t i = 0; i < hidden; ++i) add_scaled<symbols>(y.data(), h[i], &p[weights_2 + i * symbols]);
    const float largest = *std::max_element(y.begin(), y.end());
    float sum = 0;
    for (float& value : y) sum += value = std::exp(value - largest);
    const auto target = static_cast<std::size_t>(s[at]);
    const float loss = -std::log(y[target] / sum);
    if (gradient == nullptr) return loss;

    float* const g = gradient->data();
    for (float& value : y) value *= scale / sum;
    y[target] -= scale;  // y is now the gradient of the logits
    add_scaled<symbols>(g + bias_2, 1, y.data());
    std::array<float, hidden> dh;
    for (std::size_t i = 0; i < hidden; ++i) {
        dh[i] = (1 - h[i] * h[i]) * dot<symbols>(y.data(), &p[weights_2 + i * symbols]);
        add_scaled<symbols>(g + weights_2 + i * symbols, h[i], y.data());
    }
    add_scaled<hidden>(g + bias_1, 1, dh.data());
    for (std::size_t i = 0; i < inputs; ++i) {
        const auto symbol = static_cast<std::size_t>(s[at - context + i / width]);
        g[embedding + symbol * width + i % width] += dot<hidden>(dh.data(), &p[weights_1 + i * hidden]);
        add_scaled<hidden>(g + weights_1 + i * hidden, x[i], dh.data());
    }
    return loss;
}

inline double held_out_loss(const Vector& parameters, const Text& text) {
    double loss = 0;
    for (std::size_t at = context; at < text.held_out.size(); ++at) loss += loss_at(parameters, text.held_out, at);
    return loss / static_cast<double>(text.held_out.size() - context);
}

// The gradient of micro-batch `index` of `step`: the same characters, whoever computes it.
inline Vector gradient_of(const Vector& parameters, const Text& text, unsigned step, unsigned index, unsigned size) {
    std::seed_seq seed{step, index};
    std::mt19937 random(seed);
    Vector gradient(parameter_count, 0.0F);
    for (unsigned i = 0; i < size; ++i) {
        const std::size_t at = context + random() % (text.training.size() - context);
        loss_at(parameters, text.training, at, &gradient, 1.0F / static_cast<float>(size));
    }
    return gradient;
}

}  // namespace character_model
