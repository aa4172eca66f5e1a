// All micro-batches and experts in one process, without a library: what the ranks' results are compared with.
#pragma once

#include "exchange.hpp"

namespace mixture {

class ExchangeAlone : public Exchange {
public:
    explicit ExchangeAlone(const MoeShape& shape) : shape_(shape) {}

    Share share() const override { return {0, micro_batches, 0, shape_.experts}; }

    ExpertRows prepare(const std::vector<std::int64_t>& chosen, const Vector& weights) override {
        ExpertRows rows;
        weights_ = weights;
        row_of_.resize(chosen.size());
        for (std::size_t expert = 0; expert < shape_.experts; ++expert) {
            const std::size_t first = rows.slots.size();
            for (std::size_t i = 0; i < chosen.size(); ++i) {
                if (static_cast<std::size_t>(chosen[i]) != expert) continue;
                row_of_[i] = rows.slots.size();
                rows.slots.push_back(static_cast<int>(i % shape_.top_k));
                rows.weights.push_back(weights[i]);
            }
            rows.counts.push_back(rows.slots.size() - first);
        }
        return rows;
    }

    void dispatch(const Vector& tokens, Vector& rows) override {
        for (std::size_t i = 0; i < row_of_.size(); ++i)
            std::copy_n(&tokens[i / shape_.top_k * shape_.width], shape_.width, &rows[row_of_[i] * shape_.width]);
    }

    void combine(const Vector& rows, bool weighted, Vector& tokens) override {
        std::fill(tokens.begin(), tokens.end(), 0.0F);
        for (std::size_t i = 0; i < row_of_.size(); ++i) {
            const float* const row = &rows[row_of_[i] * shape_.width];
            float* const token = &tokens[i / shape_.top_k * shape_.width];
            const float weight = weighted ? weights_[i] : 1.0F;
            for (std::size_t c = 0; c < shape_.width; ++c) token[c] += weight * row[c];
        }
    }

    void combine_slots(const Vector& values, Vector& slots) override {
        for (std::size_t i = 0; i < row_of_.size(); ++i) slots[i] = values[row_of_[i]];
    }

    Vector sum(std::vector<Vector> parts) override { return in_order(parts); }
    std::vector<double> sum(std::vector<std::vector<double>> parts) override { return in_order(parts); }

private:
    template <class Numbers>
    static Numbers in_order(const std::vector<Numbers>& parts) {
        Numbers sums(parts[0].size());
        for (std::size_t i = 0; i < sums.size(); ++i)
            sums[i] = (parts[0][i] + parts[1][i]) + (parts[2][i] + parts[3][i]);
        return sums;
    }

    MoeShape shape_;
    std::vector<std::size_t> row_of_;  // by token and slot, like the weights
    Vector weights_;
};

}  // namespace mixture
