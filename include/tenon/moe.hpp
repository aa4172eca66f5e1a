// Tenon's Mixture-of-Experts for C++: tenon/moe.h in the manner of tenon/tenon.hpp. Buffers know their type and size,
// which are checked against the group's before the C API is called; handles release themselves; what fails throws
// tenon::Exception. What a call means, and which threads may make it, is said in moe.h.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>
#include <string>
#include <vector>

#include "tenon/moe.h"
#include "tenon/tenon.hpp"

namespace tenon {
inline namespace api {

// tenonMoeConfig_t.
struct MoeSettings {
    int experts = 0;
    int top_k = 0;
    std::size_t hidden = 0;
    std::size_t max_tokens = 0;
    tenonDataType_t dispatch_type = tenonBfloat16;
    tenonDataType_t token_type = tenonBfloat16;  // where dispatch_type is quantised
    tenonDataType_t combine_type = tenonBfloat16;
    bool float32_partials = false;
    tenonMoeLayout_t layout = tenonMoeExpertMajor;
    tenonMoePath_t path = tenonMoeFlat;
    std::size_t window_bytes = 0;
    int alignment = 1;
    int places_per_rank = 0;
    std::vector<int> placement{};  // [ranks][places_per_rank], or empty
    std::vector<unsigned char> masked{};  // [ranks], or empty
    bool drop_missing = false;

    // Of a quantised row; see tenonMoeDispatchQuantised.
    std::size_t scales_of_row() const { return dispatch_type == tenonInt8 ? 1 : (hidden + 127) / 128; }

    tenonMoeConfig_t config() const {  // borrows the placement and the mask
        tenonMoeConfig_t config = TENON_MOE_CONFIG_INITIALIZER;
        config.experts = experts;
        config.topK = top_k;
        config.hidden = hidden;
        config.maxTokens = max_tokens;
        config.dispatchType = dispatch_type;
        config.tokenType = token_type;
        config.combineType = combine_type;
        config.float32Partials = float32_partials ? 1 : 0;
        config.layout = layout;
        config.path = path;
        config.windowBytes = window_bytes;
        config.alignment = alignment;
        config.placesPerRank = places_per_rank;
        if (!placement.empty()) config.placement = placement.data();
        if (!masked.empty()) config.masked = masked.data();
        config.dropMissing = drop_missing ? 1 : 0;
        return config;
    }
};

// What comes to this rank and goes from it, as of tenonMoeGetCounts; refers to the handle.
struct MoeCounts {
    std::size_t tokens = 0, rows = 0;
    std::span<const int> experts;                        // by place
    std::span<const std::size_t> place_rows, place_offsets;
    std::span<const std::size_t> sent_tokens, received_tokens, sent_entries, received_entries;  // by rank
    std::size_t rows_to_other_nodes = 0, least_rows_to_other_nodes = 0;
    std::span<const int> nodes;  // by rank
    std::size_t dropped_slots = 0, dropped_tokens = 0;
};

// One routing. Made by MoeGroup::prepare; stays valid when the group moves, not when it ends.
class MoeHandle : public Owned<tenonMoeHandle_t, tenonMoeHandleDestroy> {
public:
    MoeCounts counts() const {
        tenonMoeCounts_t c;
        check(tenonMoeGetCounts(*this, &c));
        const auto places = static_cast<std::size_t>(c.places);
        return {.tokens = c.tokens, .rows = c.rows, .experts = {c.experts, places},
                .place_rows = {c.placeRows, places}, .place_offsets = {c.placeOffsets, places},
                .sent_tokens = {c.sentTokens, ranks_}, .received_tokens = {c.receivedTokens, ranks_},
                .sent_entries = {c.sentEntries, ranks_}, .received_entries = {c.receivedEntries, ranks_},
                .rows_to_other_nodes = c.rowsToOtherNodes, .least_rows_to_other_nodes = c.leastRowsToOtherNodes,
                .nodes = {c.nodes, ranks_}, .dropped_slots = c.droppedSlots, .dropped_tokens = c.droppedTokens};
    }

    // `rows` has room for at least counts().rows rows.
    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void dispatch(In&& tokens, Out&& rows, tenonStream_t stream = nullptr) {
        must_have_type("dispatch", datatype_in<In>, dispatch_type_);
        must_be_tokens("dispatch", std::ranges::size(tokens));
        check(tenonMoeDispatch(*this, std::ranges::data(tokens), std::ranges::data(rows),
                               std::ranges::size(rows) / hidden_, stream));
    }

    // tenonMoeDispatchQuantised: tokens of token_type; rows are codes of 8 bits, `row_scales` has scales_of_row() each.
    template <InputBuffer In>
    void dispatch_quantised(In&& tokens, std::span<std::byte> rows, std::span<float> row_scales,
                            tenonStream_t stream = nullptr) {
        must_have_type("dispatch_quantised", datatype_in<In>, token_type_);
        must_be_tokens("dispatch_quantised", std::ranges::size(tokens));
        dispatch_codes(std::ranges::data(tokens), nullptr, rows, row_scales, stream);
    }
    // Tokens that are codes already, with their scales.
    void dispatch_quantised(std::span<const std::byte> tokens, std::span<const float> token_scales,
                            std::span<std::byte> rows, std::span<float> row_scales, tenonStream_t stream = nullptr) {
        must_be_tokens("dispatch_quantised", tokens.size());
        if (token_scales.size() != tokens_ * scales_)
            throw Exception(tenonInvalidArgument, "tenon::MoeHandle, dispatch_quantised: " +
                                                      std::to_string(token_scales.size()) + " scales, where " +
                                                      std::to_string(tokens_ * scales_) + " are needed");
        dispatch_codes(tokens.data(), token_scales.data(), rows, row_scales, stream);
    }

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void combine(In&& rows, Out&& tokens, bool weighted = true, tenonStream_t stream = nullptr) {
        must_have_type("combine", datatype_in<In>, combine_type_);
        must_be_tokens("combine", std::ranges::size(tokens));
        // In a stream the rows are known when the stream has come so far: they are the caller's to get right.
        if (stream == nullptr && std::ranges::size(rows) < counts().rows * hidden_)
            throw Exception(tenonInvalidArgument,
                            "tenon::MoeHandle, combine: " + std::to_string(std::ranges::size(rows)) +
                                " elements of rows, where " + std::to_string(counts().rows * hidden_) + " are needed");
        check(tenonMoeCombine(*this, std::ranges::data(rows), std::ranges::data(tokens), weighted ? 1 : 0, stream));
    }

private:
    friend class MoeGroup;
    MoeHandle(tenonMoeHandle_t owned, const MoeSettings& settings, std::size_t ranks, std::size_t tokens)
        : Owned(owned), hidden_(settings.hidden), scales_(settings.scales_of_row()), ranks_(ranks), tokens_(tokens),
          dispatch_type_(settings.dispatch_type), token_type_(settings.token_type),
          combine_type_(settings.combine_type) {}

    // There is room for as many rows as both have room for.
    void dispatch_codes(const void* tokens, const float* token_scales, std::span<std::byte> rows,
                        std::span<float> row_scales, tenonStream_t stream) {
        check(tenonMoeDispatchQuantised(*this, tokens, token_scales, rows.data(), row_scales.data(),
                                        std::min(rows.size() / hidden_, row_scales.size() / scales_), stream));
    }

    static void must_have_type(const char* what, tenonDataType_t found, tenonDataType_t needed) {
        if (found != needed)
            throw Exception(tenonInvalidArgument, std::string("tenon::MoeHandle, ") + what +
                                                      ": the buffers have data type " + std::to_string(found) +
                                                      ", the group has " + std::to_string(needed));
    }
    void must_be_tokens(const char* what, std::size_t elements) const {
        if (elements != tokens_ * hidden_)
            throw Exception(tenonInvalidArgument, std::string("tenon::MoeHandle, ") + what + ": " +
                                                      std::to_string(elements) + " elements of tokens, where " +
                                                      std::to_string(tokens_ * hidden_) + " are needed");
    }

    std::size_t hidden_, scales_, ranks_, tokens_;
    tenonDataType_t dispatch_type_, token_type_, combine_type_;
};

// The ranks of a communicator with a configuration.
class MoeGroup : public Owned<tenonMoeGroup_t, tenonMoeGroupDestroy> {
public:
    MoeGroup(Communicator& communicator, const MoeSettings& settings)
        : Owned(create(communicator, settings)), settings_(settings),
          ranks_(static_cast<std::size_t>(communicator.rank_count())) {}

    // indices [tokens][top_k]: experts, or -1; weights the same, or empty for ones.
    MoeHandle prepare(std::span<const std::int64_t> indices, std::span<const float> weights = {},
                      tenonStream_t stream = nullptr) {
        const auto top_k = static_cast<std::size_t>(settings_.top_k);
        if (indices.size() % top_k != 0 || (!weights.empty() && weights.size() != indices.size()))
            throw Exception(tenonInvalidArgument, "tenon::MoeGroup::prepare: " + std::to_string(indices.size()) +
                                                      " indices and " + std::to_string(weights.size()) +
                                                      " weights, where both are top_k for each token");
        tenonMoeHandle_t handle = nullptr;
        check(tenonMoePrepare(&handle, *this, indices.data(), weights.empty() ? nullptr : weights.data(),
                              indices.size() / top_k, stream));
        return {handle, settings_, ranks_, indices.size() / top_k};
    }
    const MoeSettings& settings() const noexcept { return settings_; }

    // tenonMoeGroupMask: masked [ranks], or empty for none.
    void mask(std::span<const unsigned char> masked) {
        if (!masked.empty() && masked.size() != ranks_)
            throw Exception(tenonInvalidArgument, "tenon::MoeGroup::mask: " + std::to_string(masked.size()) +
                                                      " values, where there are " + std::to_string(ranks_) + " ranks");
        check(tenonMoeGroupMask(*this, masked.empty() ? nullptr : masked.data()));
    }

    // tenonMoeGetPath.
    tenonMoePath_t path() const {
        tenonMoePath_t path;
        check(tenonMoeGetPath(*this, &path));
        return path;
    }

    // tenonMoeGetTraffic.
    tenonMoeTraffic_t traffic() const {
        tenonMoeTraffic_t traffic;
        check(tenonMoeGetTraffic(*this, &traffic));
        return traffic;
    }

    // tenonMoeMemory.
    static std::uint64_t memory_bytes(const Communicator& communicator, const MoeSettings& settings) {
        const tenonMoeConfig_t config = settings.config();
        std::uint64_t bytes = 0;
        check(tenonMoeMemory(communicator, &config, &bytes));
        return bytes;
    }

private:
    static tenonMoeGroup_t create(tenonComm_t comm, const MoeSettings& settings) {
        const tenonMoeConfig_t config = settings.config();
        tenonMoeGroup_t group = nullptr;
        check(tenonMoeGroupCreate(&group, comm, &config));
        return group;
    }

    MoeSettings settings_;
    std::size_t ranks_;
};

}  // namespace api
}  // namespace tenon
