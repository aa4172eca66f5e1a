// A call as the user made it: the agreed request and the local pointers. A plain value that refers to the caller's
// arrays; StoredCall keeps its own copies, for calls that run later.
#pragma once

#include <vector>

#include "communicator/job_control.hpp"
#include "tenon/plugin/request.hpp"

namespace tenon {

// Do ranks give counts of their own, which others need not know?
constexpr bool is_v(Collective c) {
    return c == Collective::all_to_all_v || c == Collective::all_gather_v || c == Collective::reduce_scatter_v;
}

constexpr bool is_point_to_point(Collective c) { return c == Collective::send || c == Collective::receive; }

struct Call {
    Collective collective = Collective::barrier;
    DataType type = DataType::int8;
    ReduceOp op = ReduceOp::sum;
    Rank root = 0;  // of rooted collectives; the peer of send and receive
    const void* send = nullptr;
    void* receive = nullptr;
    std::uint64_t count = 0;
    const void* factor = nullptr;  // one element: this rank's contribution is multiplied by it first
    // all_to_all_v: all four; all_gather_v: the receive's; reduce_scatter_v: the receive's counts.
    const std::size_t* send_counts = nullptr;
    const std::size_t* send_offsets = nullptr;
    const std::size_t* receive_counts = nullptr;
    const std::size_t* receive_offsets = nullptr;
};

class StoredCall {
public:
    StoredCall(const Call& call, Rank rank_count);
    Call call() const;  // refers to this

private:
    Call call_;
    std::vector<std::size_t> arrays_[4];
    std::byte factor_[8] = {};
};

// What is wrong with a call by itself, before anything is sent; success if nothing.
Result<void> check(const Call& call, Rank rank, Rank rank_count);

}  // namespace tenon
