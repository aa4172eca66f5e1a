// The calls that `tenon-perf moe` times: dispatch and combine of one model, routing and type, with their buffers and
// what must come of them; and the same exchange written over plain all-to-all-v, on the same buffers.
#pragma once

#include <optional>
#include <vector>

#include "perf/moe_permutation.hpp"
#include "perf/moe_routing.hpp"
#include "perf/moe_values.hpp"
#include "perf/options.hpp"
#include "perf/team.hpp"
#include "reduction/quantise.hpp"
#include "tenon/moe.hpp"

namespace tenon::perf {

class MoeBuffer {
public:
    MoeBuffer(MemoryKind memory, std::uint64_t bytes);
    std::byte* data() { return shared_ ? shared_->data() : ordinary_.data(); }
    std::uint64_t bytes() const { return bytes_; }

private:
    std::uint64_t bytes_;
    std::optional<Memory<std::byte>> shared_;
    std::vector<std::byte> ordinary_;
};

// One row's group, handle and buffers.
class MoeExchange {
public:
    // `choices`: of this rank; `most_tokens`: of any; `type`: as rows are dispatched. Where that is quantised, tokens
    // and what is combined are bfloat16.
    MoeExchange(const MoeChoices& choices, std::uint64_t most_tokens, const MoeOptions& options, DataType type,
                MemoryKind memory, Communicator& comm);

    const MoeCounts& counts() const { return counts_; }
    // Of a token, and of what a combine brings back.
    std::uint64_t row_bytes() const { return model_.hidden * element_bytes(type_); }
    std::uint64_t dispatched_row_bytes() const {  // with its scales
        return model_.hidden * element_bytes(dispatch_type_) + scales_of_row(dispatch_type_, model_.hidden) * 4;
    }
    // How many tokens a dispatch brings to this rank, from itself too, each once; and from others alone.
    std::uint64_t received_tokens(bool from_others_alone) const;
    // To each rank, in a dispatch that takes the flat way.
    std::vector<double> sent_bytes() const;
    bool is_hierarchical() const { return group_.path() == tenonMoeHierarchical; }
    tenonMoeTraffic_t traffic() const { return group_.traffic(); }

    void fill_tokens();
    void fill_rows();  // as if it had been dispatched
    void clear_rows();
    void clear_result();
    void dispatch();
    void combine() { check(tenonMoeCombine(handle_, rows_.data(), out_.data(), rank_major_ ? 0 : 1, nullptr)); }
    std::uint64_t wrong_rows();
    std::uint64_t wrong_results();

private:
    friend class MoeOverAllToAllV;
    MoeHandle prepared();
    float sum_of_weights(std::uint64_t token) const;
    float source_value(std::uint64_t row, std::uint64_t element) const;
    Rank rank_of(std::int64_t expert) const;
    std::uint64_t wrong_codes();
    RowsOfValues rows_of(std::uint64_t rows) const { return {type_, rows, model_.hidden}; }

    MoeModel model_;
    DataType dispatch_type_, type_;  // of the elements of dispatched rows, and of all others
    std::uint64_t tokens_;
    Rank rank_, rank_count_;
    bool rank_major_;
    Communicator& comm_;
    MoeGroup group_;
    std::vector<std::int64_t> indices_;
    MoeHandle handle_;
    MoeCounts counts_;
    MoeBuffer in_, rows_, out_, codes_, scales_;
    std::vector<int> ranks_;             // of each row
    std::vector<std::int64_t> sources_;  // and its token there
    std::uint64_t turn_ = 0;
};

// The same over all-to-all-v (moe_permutation.hpp). Expert-major rows only.
class MoeOverAllToAllV {
public:
    // `choices`: of every rank.
    MoeOverAllToAllV(MoeExchange& exchange, const std::vector<MoeChoices>& choices, MemoryKind memory);
    void dispatch();
    void combine();

private:
    void exchange(MoeBuffer& out, const MoePermutation::Blocks& out_blocks, MoeBuffer& in,
                  const MoePermutation::Blocks& in_blocks);

    MoeExchange& of_;
    MoePermutation permutation_;
    MoeBuffer sent_, received_;
};

}  // namespace tenon::perf
