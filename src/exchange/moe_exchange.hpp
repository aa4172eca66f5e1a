// Dispatch and combine of MoE over the connections of a rank: what moves the rows of a routing
// (moe_routing.hpp).
//
// Every peer has a stream of rows each way (row_stream.hpp), and all of them go on independently of each other:
//   dispatch  each token's row goes once to every rank that has one of its experts, and is stored there in each of its
//             places;
//   combine   the experts' rows come back, and are added token by token in the recipe's order, straight from where they
//             have arrived: a peer's rows come in the order of tokens, so what the token at hand needs from a peer is
//             always the next that comes from there, and waiting for it keeps no other message from coming that it
//             needs. Nothing is kept but what lies in slots.
// An object is reused from call to call; between begin() and `done` the routing, the buffers and the transport stay.
#pragma once

#include <vector>

#include "exchange/row_stream.hpp"
#include "reduction/weighted_sum.hpp"

namespace tenon {

// What both are given.
struct MoeCall {
    const MoeShape* shape = nullptr;
    const MoeRouting* routing = nullptr;
    Transport* transport = nullptr;
    std::uint32_t signature = 0;  // with the number of the call
    AccessPolicy policy{};
};

class MoeExchange : public Work {
public:
    Rank awaited_peer() const override;
    std::string step_in_words() const override;
    // All that matters is agreed between all ranks.
    std::optional<Contradiction> contradiction() const override { return std::nullopt; }
    // Of a call that is done: for each other rank that was sent rows, the rank, their bytes and in how many messages.
    template <class Use>
    void for_each_receiver(const Use& use) const {
        for (const RowSender& sender : senders_) use(sender.peer(), sender.sent_bytes(), sender.sent_messages());
    }

protected:
    struct Way {  // one direction of all streams
        const std::vector<MoeEntry>* entries = nullptr;
        const std::vector<std::uint64_t>* offsets = nullptr;
        const std::vector<std::uint32_t>* rows = nullptr;  // null: rows are tokens
        bool row_for_each_entry = false;
    };
    Result<void> open(const MoeCall& call, const RowGeometry& geometry, const Way& out, const Way& in,
                      const std::byte* buffer, std::uint64_t buffer_bytes);
    void send_some();
    bool all_sent() const { return sending_.empty(); }

    MoeCall call_;
    std::vector<RowReader> readers_;
    std::vector<std::uint32_t> reader_of_;  // by rank
    std::vector<std::byte> copied_;         // rows that the kernel has copied
    Rank waits_for_ = no_rank;

private:
    RowStream stream_of(const Way& way, const RowGeometry& geometry, Rank peer) const;

    std::vector<RowStream> out_streams_, in_streams_;
    std::vector<RowSender> senders_;
    std::vector<std::uint32_t> sending_;  // senders that are not done
};

// Where rows come to lie: as they travelled, or, quantised, their elements and their scales apart.
struct MoeRowBuffers {
    std::byte* rows = nullptr;
    std::byte* scales = nullptr;    // null: behind the elements of each row
    std::uint64_t scale_bytes = 0;  // of a row, where they are apart
};

class MoeDispatch final : public MoeExchange {
public:
    // tokens [routing.tokens], as they travel -> rows [routing.rows]; rows between experts are zeroed.
    Result<void> begin(const MoeCall& call, const std::byte* tokens, const MoeRowBuffers& to);
    Progress advance() override;

private:
    bool take_some(RowReader& reader);
    void copy_own_rows();
    void store(const std::byte* row, std::uint64_t first_entry, std::size_t entries, std::uint64_t offset,
               std::uint64_t length);
    void copy(std::byte* to, const std::byte* from, std::uint64_t length) const;
    void clear_padding();

    const std::byte* tokens_ = nullptr;
    MoeRowBuffers to_;
    std::uint64_t row_bytes_ = 0, own_entry_ = 0;
    std::uint64_t kept_bytes_ = 0;  // of row_bytes_, those that lie in `rows`
    std::vector<std::uint32_t> reading_;  // readers that are not done
};

class MoeCombine final : public MoeExchange {
public:
    // rows [routing.rows][hidden] -> tokens [routing.tokens][hidden], of the input's and the output's type; weighted by
    // the routing's weights, or by ones.
    Result<void> begin(const MoeCall& call, const WeightedSumTypes& types, const std::byte* rows, std::byte* tokens,
                       bool weighted);
    Progress advance() override;

private:
    enum class Outcome { done, blocked, failed };
    Outcome sum_segment();
    Outcome find(std::span<const MoeContribution> parts);
    Outcome await(std::span<const MoeContribution> parts);
    bool begins_item(const MoeContribution& part) const;
    RowReader& reader(const MoeContribution& part) { return readers_[reader_of_[part.rank]]; }

    const std::byte* rows_ = nullptr;
    std::byte* tokens_ = nullptr;
    bool weighted_ = true;
    RowGeometry geometry_;
    std::uint64_t input_bytes_ = 1, output_bytes_ = 1;  // of an element
    WeightedSumKernel kernel_ = nullptr;
    std::uint64_t token_ = 0;
    std::uint32_t segment_ = 0;
    Contribution found_[most_slots_of_token];
};

}  // namespace tenon
