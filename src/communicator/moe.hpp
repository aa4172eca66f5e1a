// MoE groups and handles: the ranks of a communicator agree on a shape, prepare routings, and dispatch and combine by
// them.
//
// Threads: as the communicator's calls. create(), prepare(), dispatch() and combine() are calls that all ranks make in
// the same order, by who has the communicator's turn (create() by the thread that makes its calls); route() is local,
// and may run while an earlier call is under way.
// Lifetime: a group stays as long as its handles; both are used only while the communicator lives.
#pragma once

#include <atomic>
#include <memory>

#include "communicator/communicator.hpp"
#include "exchange/moe_exchange.hpp"
#include "exchange/moe_legs.hpp"
#include "execution/side_by_side.hpp"

namespace tenon {

class MoeGroup;

// One routing. What it holds may be read when it is ready.
class MoeHandle {
public:
    MoeHandle(std::shared_ptr<MoeGroup> group, std::uint64_t number, MoeRouting routing)
        : group_(std::move(group)), number_(number), routing_(std::move(routing)) {}
    MoeGroup& group() const { return *group_; }
    bool ready() const { return ready_.load(std::memory_order_acquire); }
    const MoeRouting& routing() const { return routing_; }
    // Rows of tokens that a dispatch sends to ranks of other nodes.
    std::uint64_t rows_to_other_nodes() const;
    // Where each token goes once to each other node that needs it.
    std::uint64_t least_rows_to_other_nodes() const;

private:
    friend class MoeGroup;
    std::shared_ptr<MoeGroup> group_;
    std::uint64_t number_;  // in its group
    MoeRouting routing_;
    MoeHierarchy hierarchy_;  // of hierarchical groups with several nodes
    std::atomic<bool> ready_{false};
};

// What a group's calls on this rank have sent to other ranks: bytes of rows, of calls that completed. Any thread.
struct MoeTraffic {
    std::atomic<std::uint64_t> calls{0};
    Traffic sent;
    // Nodes are the innermost level's groups (MoeGroup::nodes_of).
    std::uint64_t inside_node_bytes() const { return sent.at(0).bytes; }
    std::uint64_t leaving_node_bytes() const;
};

class MoeGroup : public std::enable_shared_from_this<MoeGroup> {
public:
    // Which node each rank is on, for the recipe and the choice of copies: the innermost groups of the topology, where
    // it has several levels; else all are on one.
    static std::vector<std::int32_t> nodes_of(const Topology& topology);

    // A shape whose path is automatic takes the way that is priced lower (exchange/moe_price.hpp), on all ranks the
    // same; and in words why. Local.
    static std::string choose_path(MoeShape& shape, const Communicator& communicator);

    // All ranks call. Ranks whose shapes differ all get an error that names the first difference, and the communicator
    // stays usable.
    static Result<std::shared_ptr<MoeGroup>> create(Communicator& communicator, MoeShape shape);

    // All ranks call, in turn: from now on these ranks are masked, for routings that are made later. A mask that
    // differs between ranks, or leaves an expert nowhere, is an error on all, and the mask stays as it was.
    Result<void> mask(std::vector<std::uint8_t> masked);

    // The local half of preparing: checks `indices` and `weights` (see MoeRouting::route), which it copies.
    Result<std::shared_ptr<MoeHandle>> route(const std::int64_t* indices, const float* weights, std::uint64_t tokens);
    // The half that all ranks make together.
    Result<void> prepare(MoeHandle& handle);
    // See MoeDispatch and MoeCombine. Of scales only a group whose rows are quantised has any, and those of tokens only
    // where it does not quantise them itself.
    struct Dispatched {
        const void* tokens = nullptr;
        const void* token_scales = nullptr;
        void* rows = nullptr;
        void* row_scales = nullptr;
        std::uint64_t row_room = 0;  // how many rows there is room for
    };
    Result<void> dispatch(const MoeHandle& handle, const Dispatched& call);
    Result<void> combine(const MoeHandle& handle, const void* rows, void* tokens, bool weighted);

    const MoeShape& shape() const { return shape_; }
    Communicator& communicator() const { return communicator_; }
    const std::vector<std::int32_t>& nodes() const { return nodes_; }
    const MoeTraffic& dispatched() const { return dispatched_; }
    const MoeTraffic& combined() const { return combined_; }
    bool is_hierarchical() const { return shape_.path == MoePath::hierarchical && forwarders_.nodes() > 1; }

private:
    MoeGroup(Communicator& communicator, MoeShape shape);
    Result<void> exchange_entries(MoeRouting& routing);
    Result<void> prepare_hierarchy(MoeHandle& handle);
    template <class Entry>
    Result<void> exchange_lists(const std::vector<Entry>& out, const std::vector<std::uint64_t>& out_offsets,
                                std::vector<Entry>& in, const std::vector<std::uint64_t>& in_offsets);
    CallRecord record_of(const MoeHandle& handle, Collective collective, bool weighted) const;
    MoeCall call_of(const MoeShape& shape, const MoeRouting& routing, std::uint32_t signature,
                    const AccessPolicy& policy) const;
    AccessPolicy policy_of(const Path& path, std::uint64_t stored_bytes) const;
    template <class Run>
    Result<void> by_trial(PathTrial& trial, std::uint64_t bytes, const Run& run);
    Result<void> dispatch_all(const MoeHandle& handle, const std::byte* tokens, const MoeRowBuffers& to,
                              const AccessPolicy& policy);
    Result<void> dispatch_by_legs(const MoeHandle& handle, const std::byte* tokens, const MoeRowBuffers& to,
                                  const AccessPolicy& policy);
    Result<void> combine_by_legs(const MoeHandle& handle, const std::byte* rows, std::byte* tokens, bool weighted,
                                 const AccessPolicy& policy);
    std::byte* window(const MoeHandle& handle, std::size_t round);
    std::uint64_t window_row_bytes() const;
    Result<void> check_dispatch(const MoeRouting& routing, const Dispatched& call) const;
    const std::byte* as_they_travel(const MoeRouting& routing, const Dispatched& call);
    Result<void> combine_all(const MoeHandle& handle, const std::byte* rows, std::byte* tokens, bool weighted,
                             const AccessPolicy& policy);
    void count(const MoeExchange& leg, MoeTraffic& traffic);
    Result<void> must_be_ready(const MoeHandle& handle, const char* call) const;

    Communicator& communicator_;
    MoeShape shape_;
    MoeShape across_shape_;  // of the leg between nodes
    std::vector<std::int32_t> nodes_;
    MoeCopies copies_;
    MoeForwarders forwarders_;
    std::vector<std::byte> windows_, quantised_;  // grown by prepare
    std::uint32_t number_ = 0;
    std::uint64_t handles_ = 0;
    MoeDispatch dispatch_, dispatch_across_;
    MoeCombine combine_, combine_across_;
    SideBySide legs_;
    MoeTraffic dispatched_, combined_;
    PathTrial dispatch_trial_, combine_trial_;  // how rows travel
};

}  // namespace tenon
