// Makes a DeviceCall of a plan: the part of StreamExecution that knows what a step is.
//
// Vocabulary: a *tile* is what fits into a slot. In plans whose chunks are cut a lane runs all its steps on one tile,
// then on the next; in others (one_tile) it runs a step on all of its tiles before the next step. Between lanes, the
// order is that of enqueue_order.hpp, a tile of all lanes before the next.
#pragma once

#include <map>
#include <vector>

#include "device_execution/device_call.hpp"
#include "device_execution/device_links.hpp"
#include "device_execution/enqueue_order.hpp"
#include "device_execution/stream_execution.hpp"

namespace tenon {

class Preparation {
public:
    Preparation(device::Device& device, DeviceLinks& links, const OrderedPlan& ordered, const Request& request,
                const DeviceBuffers& buffers);
    // Bytes of scratch memory that the plan needs; prepare() wants them.
    std::uint64_t scratch_bytes() const;
    Result<DeviceCall> prepare(std::byte* scratch);

private:
    struct LaneState {
        std::uint32_t number = 0;
        std::uint64_t tiles = 1;                                                    // of cut plans
        std::map<std::pair<std::uint32_t, std::uint64_t>, device::Event*> reached;  // by step and tile
        std::byte* partial_sums = nullptr;
    };
    // The bytes of a step's tile.
    struct Range {
        std::uint64_t offset = 0, bytes = 0;
        bool is_token = false;  // a message without bytes
        bool is_empty() const { return bytes == 0 && !is_token; }
    };

    Result<void> start_lanes();
    Result<void> join_lanes();
    std::uint64_t cell_bytes() const;
    std::uint64_t partial_sum_bytes() const;  // of one lane
    Result<void> add_by_tiles();
    Result<void> add_by_steps();
    Result<void> add_part(const StepRef& at, std::uint64_t tile);
    Range range_of(const Step& step, std::uint64_t tile) const;
    device::Event* event_of(const StepRef& dependency, std::uint64_t tile) const;
    void wait_for_dependencies(const LaneState& lane, const Step& step, std::uint64_t tile);

    void add(const LaneState& lane, const Step& step, const Range& range);
    void add_send(const LaneState& lane, const Step& step, const void* source, std::uint64_t bytes);
    void add_receive(const LaneState& lane, const Step& step, const Range& range);
    void add_reduction(const LaneState& lane, const Step& step, const Range& range);
    // destination = the tree over the operands; partial sums from `depth` on are free.
    void add_sum(const LaneState& lane, std::byte* destination, std::span<const std::byte* const> operands,
                 std::uint64_t bytes, std::size_t depth);
    void add_copy(const LaneState& lane, void* destination, const void* source, std::uint64_t bytes);
    void add_combination(const LaneState& lane, void* destination, const void* source, std::uint64_t bytes);
    void add_record(const LaneState& lane, device::Event& event);
    void add_wait(const LaneState& lane, device::Event& event);
    void add_record(const LaneState& lane, device::Notify& notify);
    void add_wait(const LaneState& lane, device::Notify& notify);
    std::byte* at(const Chunk& chunk, std::uint64_t offset) const;

    device::Device& device_;
    DeviceLinks& links_;
    const Plan& plan_;
    std::span<const StepRef> order_;
    const Request& request_;
    DeviceBuffers buffers_;
    std::uint64_t element_bytes_;
    TileCut cut_;
    bool is_cut_;
    std::byte* scratch_ = nullptr;
    DeviceCall call_;
    std::vector<LaneState> lanes_;
    std::vector<std::vector<bool>> is_awaited_;   // by lane and step: another lane depends on it
    std::vector<std::uint32_t> sent_, received_;  // messages of this call, by peer and channel
};

}  // namespace tenon
