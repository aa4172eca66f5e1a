#include "transports/rings/ring_transport.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/assert.hpp"
#include "os/memory.hpp"

namespace tenon {
namespace {

// With few ranks, a ring's pages are brought in when it is first used, so that calls do not wait for them one by one;
// with many, most of the memory is never touched.
constexpr Rank most_ranks_brought_in = 8;

void bring_in(std::byte* ring, std::uint64_t bytes, Rank rank_count) {
    if (rank_count <= most_ranks_brought_in) os::bring_in({ring, bytes});
}

}  // namespace

class RingTransport::PairConnection final : public Connection {
public:
    PairConnection(RingTransport& transport, Rank peer, std::unique_ptr<Reach> reach)
        : transport_(transport), peer_(peer), reach_(std::move(reach)) {}

    Result<SendEnd*> send_end(std::uint16_t channel) override {
        if (auto ok = check(channel); !ok) return std::unexpected(ok.error());
        Ends& ends = ends_of(channel);
        if (!std::exchange(ends.sends, true))
            bring_in(ring(transport_.rank_, peer_, channel), shape(channel).bytes(), transport_.rank_count_);
        return &ends.out;
    }

    Result<ReceiveEnd*> receive_end(std::uint16_t channel) override {
        if (auto ok = check(channel); !ok) return std::unexpected(ok.error());
        Ends& ends = ends_of(channel);
        if (!ends.receives) {
            if (auto ok = transport_.account(shape(channel)); !ok) return std::unexpected(ok.error());
            ends.receives = true;
            bring_in(ring(peer_, transport_.rank_, channel), shape(channel).bytes(), transport_.rank_count_);
        }
        return &ends.in;
    }

    std::optional<Exposure> expose(const void* bytes, std::size_t length) const override {
        return reach_->expose(bytes, length);
    }
    bool peer_addresses(const Exposure& exposure) const override { return reach_->peer_addresses(exposure); }
    std::byte* address_of(const Exposure& exposure, std::size_t length) override {
        return reach_->address_of(exposure, length);
    }
    Result<void> read(void* to, const Exposure& from, std::size_t length) override {
        return reach_->read(to, from, length);
    }
    Result<void> write(const Exposure& to, const void* from, std::size_t length) override {
        return reach_->write(to, from, length);
    }
    std::string_view name() const override { return reach_->name(); }

private:
    // Both ends of a channel, made together: also who only sends finds its credits in what the peer sends back.
    struct Ends {
        SendEnd out;
        ReceiveEnd in;
        bool sends = false, receives = false;
    };

    const RingShape& shape(Channel channel) const { return transport_.layout_.pair_shape(channel); }
    std::byte* ring(Rank from, Rank to, Channel channel) const {
        return transport_.segment_ + transport_.layout_.pair_offset(from, to, channel);
    }
    Ends& ends_of(Channel channel) {
        auto& made = ends_[channel];
        if (made == nullptr) {
            const std::uint64_t taken = shape(channel).taken_offset();
            std::byte* outgoing = ring(transport_.rank_, peer_, channel);
            std::byte* incoming = ring(peer_, transport_.rank_, channel);
            made = std::make_unique<Ends>();
            made->out = SendEnd(outgoing, shape(channel), {reinterpret_cast<const Taken*>(outgoing + taken), 1});
            made->in = ReceiveEnd(incoming, shape(channel), reinterpret_cast<Taken*>(incoming + taken));
            made->out.pair_with(made->in);
        }
        return *made;
    }
    Result<void> check(std::uint16_t channel) const {
        if (channel < transport_.layout_.channels()) return {};
        return fail(Status::invalid_usage,
                    fmt::format("a plan uses channel {}; with {} ranks there are {}", channel, transport_.rank_count_,
                                transport_.layout_.channels()));
    }

    RingTransport& transport_;
    Rank peer_;
    std::unique_ptr<Reach> reach_;
    std::array<std::unique_ptr<Ends>, max_channels> ends_;
};

RingTransport::RingTransport(std::byte* segment, const SegmentLayout& layout, Rank rank, Rank rank_count,
                             std::shared_ptr<SlotBudget> budget,
                             std::function<std::unique_ptr<Reach>(Rank)> reach_of, Shares peer_shares)
    : segment_(segment),
      layout_(layout),
      rank_(rank),
      rank_count_(rank_count),
      budget_(std::move(budget)),
      reach_of_(std::move(reach_of)),
      shares_(peer_shares),
      connections_(static_cast<std::size_t>(rank_count)),
      boards_in_(static_cast<std::size_t>(rank_count)) {}

RingTransport::~RingTransport() = default;

Connection& RingTransport::connection(Rank peer) {
    TENON_ASSERT(peer >= 0 && peer < rank_count_ && peer != rank_, "no such peer");
    const std::scoped_lock lock(connecting_);
    auto& made = connections_[static_cast<std::size_t>(peer)];
    if (made == nullptr) made = std::make_unique<PairConnection>(*this, peer, reach_of_(peer));
    return *made;
}

Result<SendEnd*> RingTransport::board_send_end() {
    if (board_out_ == nullptr) {
        const RingShape& shape = layout_.board_shape();
        if (auto ok = account(shape); !ok) return std::unexpected(ok.error());
        std::byte* ring = segment_ + layout_.board_offset(rank_);
        bring_in(ring, shape.bytes(), rank_count_);
        // The writer's own Taken line never lags: it counts as having taken everything.
        auto* taken = reinterpret_cast<Taken*>(ring + shape.taken_offset());
        store_release(taken[rank_].packed, UINT64_MAX / 2);
        for (std::uint64_t& bulk : taken[rank_].bulk) store_release(bulk, UINT64_MAX / 2);
        board_out_ = std::make_unique<SendEnd>(ring, shape, std::span<const Taken>(taken, shape.readers));
    }
    return board_out_.get();
}

Result<ReceiveEnd*> RingTransport::board_receive_end(Rank writer) {
    TENON_ASSERT(writer >= 0 && writer < rank_count_ && writer != rank_, "no such board");
    auto& end = boards_in_[static_cast<std::size_t>(writer)];
    if (end == nullptr) {
        const RingShape& shape = layout_.board_shape();
        std::byte* ring = segment_ + layout_.board_offset(writer);
        bring_in(ring, shape.bytes(), rank_count_);
        end = std::make_unique<ReceiveEnd>(ring, shape, reinterpret_cast<Taken*>(ring + shape.taken_offset()) + rank_);
    }
    return end.get();
}

Result<void> RingTransport::account(const RingShape& shape) {
    if (!budget_->take(shape.bytes()))
        return fail(Status::system_error,
                    fmt::format("rank {}: one more ring of {} bytes would exceed the {} bytes of slots that a rank may "
                                "have in a communicator; raise TENON_SLOT_MEMORY_BYTES on every rank",
                                rank_, shape.bytes(), budget_->cap_bytes()));
    slot_memory_ += shape.bytes();
    return {};
}

}  // namespace tenon
