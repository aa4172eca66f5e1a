// Expert parallelism: each rank has its own micro-batch and its own experts, and Tenon brings the tokens to the
// experts.
#pragma once

#include <optional>
#include <tenon/moe.hpp>

#include "exchange.hpp"

namespace mixture {

class ExchangeBetweenRanks : public Exchange {
public:
    // `ranks` outlives it; no rank prepares more than `max_tokens` tokens.
    ExchangeBetweenRanks(tenon::Communicator& ranks, const MoeShape& shape, std::size_t max_tokens)
        : ranks_(ranks),
          shape_(shape),
          tokens_(ranks, settings(shape, shape.width, max_tokens)),
          slots_(ranks, settings(shape, shape.top_k, max_tokens)) {}

    Share share() const override {
        const std::size_t experts = shape_.experts / micro_batches, rank = static_cast<std::size_t>(ranks_.rank());
        return {rank, 1, rank * experts, experts};
    }

    ExpertRows prepare(const std::vector<std::int64_t>& chosen, const Vector& weights) override {
        routing_ = tokens_.prepare(chosen, weights);
        slot_routing_ = slots_.prepare(chosen);
        const tenon::MoeCounts counts = routing_->counts();
        rows_.counts.assign(counts.place_rows.begin(), counts.place_rows.end());
        rows_.slots.resize(counts.rows);
        rows_.weights.resize(counts.rows);
        tenon::check(tenonMoeGetRows(*routing_, nullptr, nullptr, rows_.slots.data(), nullptr, rows_.weights.data()));
        return rows_;
    }

    void dispatch(const Vector& tokens, Vector& rows) override { routing_->dispatch(tokens, rows); }
    void combine(const Vector& rows, bool weighted, Vector& tokens) override {
        routing_->combine(rows, tokens, weighted);
    }

    // A second group has rows of a column for each slot. A row is zero but for its own slot's column, so that the sum
    // of a token's rows has all of them.
    void combine_slots(const Vector& values, Vector& slots) override {
        Vector rows(values.size() * shape_.top_k, 0.0F);
        for (std::size_t row = 0; row < values.size(); ++row)
            rows[row * shape_.top_k + static_cast<std::size_t>(rows_.slots[row])] = values[row];
        slot_routing_->combine(rows, slots, false);
    }

    Vector sum(std::vector<Vector> parts) override { return all_reduced(parts); }
    std::vector<double> sum(std::vector<std::vector<double>> parts) override { return all_reduced(parts); }

private:
    static tenon::MoeSettings settings(const MoeShape& shape, std::size_t width, std::size_t max_tokens) {
        return {.experts = static_cast<int>(shape.experts),
                .top_k = static_cast<int>(shape.top_k),
                .hidden = width,
                .max_tokens = max_tokens,
                .dispatch_type = tenonFloat32,
                .combine_type = tenonFloat32};
    }

    template <class Numbers>
    Numbers all_reduced(std::vector<Numbers>& parts) {
        ranks_.all_reduce(parts[0]);
        return std::move(parts[0]);
    }

    tenon::Communicator& ranks_;
    MoeShape shape_;
    tenon::MoeGroup tokens_, slots_;
    std::optional<tenon::MoeHandle> routing_, slot_routing_;
    ExpertRows rows_;
};

}  // namespace mixture
