// Makes a DeviceCall of a plan: the part of StreamExecution that knows what a step is.
//
// Vocabulary: a *tile* is what fits into a slot. In plans whose chunks are cut a lane runs all its steps on one tile,
// then on the next; in others (one_tile) it runs a step on all of its tiles before the next step.
//
// Lanes take turns of a tile in the order of operations. A runtime's queues are bounded, and whoever enqueues may have
// to wait until the device has done some of it; if all of one lane came first, two ranks could wait for each other's
// second lane for ever.
#pragma once

#include <map>
#include <vector>

#include "device_execution/device_call.hpp"
#include "device_execution/device_links.hpp"
#include "device_execution/stream_execution.hpp"

namespace tenon {

class Preparation {
public:
    Preparation(device::Device& device, DeviceLinks& links, const Plan& plan, const Request& request,
                const DeviceBuffers& buffers);
    // Bytes of scratch memory that the plan needs; prepare() wants them.
    std::uint64_t scratch_bytes() const;
    Result<DeviceCall> prepare(std::byte* scratch);

private:
    // A step on a tile.
    struct Part {
        std::uint32_t step = 0;
        std::uint64_t tile = 0;
    };
    struct LaneState {
        std::uint32_t number = 0;
        std::uint64_t tiles = 1;  // of cut plans
        Part next{};
        bool done = false;
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
    // Adds what is left of a lane's tile, as far as it does not wait for steps that were not added yet. True if
    // anything was.
    Result<bool> advance(LaneState& lane);
    void step_on(LaneState& lane) const;
    std::uint64_t tiles_of(const Step& step) const;
    Range range_of(const Step& step, std::uint64_t tile) const;
    // Null where it was not added yet.
    device::Event* event_of(const StepRef& dependency, std::uint64_t tile) const;
    // False where it must wait for what was not added yet.
    bool wait_for_dependencies(const LaneState& lane, const Step& step, std::uint64_t tile);
    Result<device::Event*> new_event();

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
    const Request& request_;
    DeviceBuffers buffers_;
    std::uint64_t element_bytes_, tile_bytes_;
    bool is_cut_;
    std::byte* scratch_ = nullptr;
    DeviceCall call_;
    std::vector<LaneState> lanes_;
    std::vector<std::vector<bool>> is_awaited_;   // by lane and step: another lane depends on it
    std::vector<std::uint32_t> sent_, received_;  // messages of this call, by peer and channel
};

}  // namespace tenon
