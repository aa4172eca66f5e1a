#include "communicator/call.hpp"

#include <fmt/format.h>

#include <cstring>

namespace tenon {
namespace {

// Lengths up to here cannot overflow when offsets are added to pointers.
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 62;

class Checker {
public:
    Checker(const Call& call, Rank rank, Rank rank_count)
        : call_(call), rank_(rank), ranks_(static_cast<std::uint64_t>(rank_count)), bytes_(element_bytes(call.type)) {}

    Result<void> run() {
        if (is_rooted(call_.collective) && !is_rank(call_.root))
            return wrong(fmt::format("root {} is not in [0, {})", call_.root, ranks_));
        if (is_point_to_point() && !is_rank(call_.root))
            return wrong(fmt::format("peer {} is not in [0, {})", call_.root, ranks_));
        if (call_.send_counts != nullptr || call_.receive_counts != nullptr || is_v(call_.collective)) return check_v();
        const std::uint64_t blocks = input_is_large() || output_is_large() ? ranks_ : 1;
        if (call_.count > most_bytes / bytes_ / blocks)
            return wrong(fmt::format("count {} of {} overflows a size", call_.count, name_of(call_.type)));
        if (call_.count == 0 || call_.collective == Collective::barrier) return {};
        if (needs_send() && call_.send == nullptr) return wrong("sendbuff is NULL");
        if (needs_receive() && call_.receive == nullptr) return wrong("recvbuff is NULL");
        return {};
    }

private:
    bool is_rank(Rank r) const { return r >= 0 && static_cast<std::uint64_t>(r) < ranks_; }
    bool is_point_to_point() const {
        return call_.collective == Collective::send || call_.collective == Collective::receive;
    }
    bool input_is_large() const {
        const auto c = call_.collective;
        return c == Collective::reduce_scatter || c == Collective::all_to_all || c == Collective::scatter;
    }
    bool output_is_large() const {
        const auto c = call_.collective;
        return c == Collective::all_gather || c == Collective::all_to_all || c == Collective::gather;
    }
    bool needs_send() const {
        const auto c = call_.collective;
        if (c == Collective::broadcast || c == Collective::scatter) return rank_ == call_.root;
        return c != Collective::receive;
    }
    bool needs_receive() const {
        const auto c = call_.collective;
        if (c == Collective::reduce || c == Collective::gather) return rank_ == call_.root;
        return c != Collective::send;
    }

    Result<void> check_v() {
        const auto c = call_.collective;
        if (c == Collective::all_to_all_v && (call_.send_counts == nullptr || call_.send_offsets == nullptr))
            return wrong("sendcounts or sdispls is NULL");
        if (call_.receive_counts == nullptr) return wrong("recvcounts is NULL");
        if (c != Collective::reduce_scatter_v && call_.receive_offsets == nullptr)
            return wrong(c == Collective::all_to_all_v ? "rdispls is NULL" : "displs is NULL");
        std::uint64_t sent = 0, received = 0;
        if (c == Collective::all_to_all_v)
            if (auto ok = add(call_.send_counts, call_.send_offsets, "sendcounts", sent); !ok) return ok;
        if (auto ok = add(call_.receive_counts, call_.receive_offsets, "recvcounts", received); !ok) return ok;
        const auto own = call_.receive_counts[rank_];
        if (c == Collective::all_gather_v) {
            if (call_.count != own)
                return wrong(fmt::format("sendcount is {}, but recvcounts[{}] is {}", call_.count, rank_, own));
            sent = own;
        }
        if (c == Collective::all_to_all_v && call_.send_counts[rank_] != own)
            return wrong(fmt::format("sendcounts[{0}] is {1}, but recvcounts[{0}], for the same block, is {2}", rank_,
                                     call_.send_counts[rank_], own));
        if (c == Collective::reduce_scatter_v) {
            sent = received;
            received = own;
        }
        if (sent != 0 && call_.send == nullptr) return wrong("sendbuff is NULL");
        if (received != 0 && call_.receive == nullptr) return wrong("recvbuff is NULL");
        return {};
    }

    Result<void> add(const std::size_t* counts, const std::size_t* offsets, const char* what, std::uint64_t& sum) {
        const std::uint64_t most = most_bytes / bytes_;
        for (std::uint64_t r = 0; r < ranks_; r++) {
            const std::uint64_t offset = offsets != nullptr ? offsets[r] : 0;
            if (counts[r] > most || offset > most - counts[r] || sum > most - counts[r])
                return wrong(
                    fmt::format("{}[{}] = {} of {} overflows a size", what, r, counts[r], name_of(call_.type)));
            sum += counts[r];
        }
        return {};
    }

    std::unexpected<Error> wrong(const std::string& what) const {
        return fail(Status::invalid_argument, fmt::format("rank {}: {}: {}", rank_, name_of(call_.collective), what));
    }

    const Call& call_;
    Rank rank_;
    std::uint64_t ranks_, bytes_;
};

}  // namespace

StoredCall::StoredCall(const Call& call, Rank rank_count) : call_(call) {
    const std::size_t* given[4] = {call.send_counts, call.send_offsets, call.receive_counts, call.receive_offsets};
    for (int i = 0; i < 4; i++)
        if (given[i] != nullptr) arrays_[i].assign(given[i], given[i] + rank_count);
    if (call.factor != nullptr) std::memcpy(factor_, call.factor, element_bytes(call.type));
}

Call StoredCall::call() const {
    Call c = call_;
    const std::size_t** own[4] = {&c.send_counts, &c.send_offsets, &c.receive_counts, &c.receive_offsets};
    for (int i = 0; i < 4; i++)
        if (*own[i] != nullptr) *own[i] = arrays_[i].data();
    if (c.factor != nullptr) c.factor = factor_;
    return c;
}

Result<void> check(const Call& call, Rank rank, Rank rank_count) { return Checker(call, rank, rank_count).run(); }

}  // namespace tenon
