#include "device_execution/stream_execution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <tuple>

#include "device_execution/preparation.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t cell_alignment = 512;

Result<void> expect_on_device(const device::Device& device, const void* buffer, const char* what) {
    const auto at = device.locate(buffer);
    if (!at) return std::unexpected(at.error());
    if (at->kind == device::MemoryKind::device && at->device == device.index()) return {};
    return fail(Status::invalid_argument,
                fmt::format("the {} buffer is not in the memory of device {}: allocate it there, or use a communicator "
                            "of the host's memory",
                            what, device.index()));
}

Result<void> check_reduction(const Request& request, const device::Device& device, const std::string& call) {
    if (!device.can_reduce(request.type, request.op))
        return fail(Status::invalid_argument,
                    fmt::format("{}: devices of this kind have no {} of {}: use the host's memory", call,
                                name_of(request.op), name_of(request.type)));
    if (request.deterministic && is_narrow_float(request.type))
        return fail(Status::invalid_argument,
                    fmt::format("{}: devices round each sum of {}, so its bits depend on the order: use float32, or no "
                                "deterministic mode",
                                call, name_of(request.type)));
    return {};
}

Result<void> check(const Plan& plan, const Request& request, const device::Device& device, const DeviceLinks& links) {
    const std::string call =
        fmt::format("{} by {} on device {}", name_of(plan.collective), plan.algorithm, device.index());
    if (plan.lanes.size() > device.facts().independent_streams)
        return fail(
            Status::invalid_argument,
            fmt::format("{}: the plan has {} lanes, and the device runs {} streams at once: choose another algorithm",
                        call, plan.lanes.size(), device.facts().independent_streams));
    if (reduces(plan.collective))
        if (auto possible = check_reduction(request, device, call); !possible) return possible;
    for (const Lane& lane : plan.lanes)
        for (const Step& step : lane.steps) {
            if (sends(step.kind) && step.send_to == everyone)
                return fail(Status::internal_error,
                            fmt::format("{}: the plan publishes, and devices have no board", call));
            const Channel highest = std::max(sends(step.kind) ? step.send_channel : Channel{0},
                                             receives(step.kind) ? step.receive_channel : Channel{0});
            if (highest >= links.channels())
                return fail(Status::invalid_argument,
                            fmt::format("{}: the plan uses channel {}, and ranks are joined by "
                                        "{}: ask for more, or choose another algorithm",
                                        call, highest, links.channels()));
        }
    return {};
}

}  // namespace

Result<OrderedPlan> StreamExecution::order(std::span<const Plan> plans, const Request& request) const {
    if (auto possible = check(plans[static_cast<std::size_t>(request.rank)], request, device_, links_); !possible)
        return std::unexpected(possible.error());
    return in_enqueue_order(plans, request, links_.slot_bytes(), DeviceLinks::slots_per_channel);
}

Result<DeviceCall> StreamExecution::prepare(const OrderedPlan& ordered, const Request& request,
                                            const DeviceBuffers& buffers) {
    const Plan& plan = ordered.plan;
    if (auto possible = check(plan, request, device_, links_); !possible) return std::unexpected(possible.error());
    if (request.count.value != 0 && plan.input_blocks != 0)
        if (auto there = expect_on_device(device_, buffers.input, "input"); !there)
            return std::unexpected(there.error());
    if (request.count.value != 0 && plan.output_blocks != 0)
        if (auto there = expect_on_device(device_, buffers.output, "output"); !there)
            return std::unexpected(there.error());
    Preparation preparation{device_, links_, ordered, request, buffers};
    const auto memory = scratch(preparation.scratch_bytes());
    if (!memory) return std::unexpected(memory.error());
    if (auto made = make_lanes(plan.lanes.size()); !made) return std::unexpected(made.error());
    return preparation.prepare(*memory);
}

Result<DeviceCall> StreamExecution::prepare(std::span<const DeviceMessage> messages) {
    for (const DeviceMessage& message : messages)
        if (message.bytes != 0)
            if (auto there = expect_on_device(device_, message.address, message.is_send ? "send" : "receive"); !there)
                return std::unexpected(there.error());
    ExchangePreparation preparation{device_, links_, messages};
    if (auto made = make_lanes(preparation.lane_count()); !made) return std::unexpected(made.error());
    return preparation.prepare(nullptr);
}

Result<DeviceCall> StreamExecution::prepare_reduce_scatter_v(const Request& request,
                                                             std::span<const std::size_t> counts,
                                                             const DeviceBuffers& buffers) {
    const std::string call = fmt::format("{} on device {}", name_of(request.collective), device_.index());
    if (auto possible = check_reduction(request, device_, call); !possible) return std::unexpected(possible.error());
    const auto own = static_cast<std::size_t>(links_.rank());
    const std::uint64_t width = element_bytes(request.type), own_bytes = counts[own] * width;
    const std::uint64_t stride = (own_bytes + cell_alignment - 1) / cell_alignment * cell_alignment;
    for (const auto& [buffer, name, bytes] :
         {std::tuple{buffers.input, "input", std::accumulate(counts.begin(), counts.end(), std::uint64_t{0})},
          std::tuple{static_cast<const void*>(buffers.output), "output", own_bytes}})
        if (bytes != 0)
            if (auto there = expect_on_device(device_, buffer, name); !there) return std::unexpected(there.error());
    const auto cells = scratch(stride * counts.size());
    if (!cells) return std::unexpected(cells.error());
    std::vector<DeviceMessage> messages;
    std::byte* block = static_cast<std::byte*>(const_cast<void*>(buffers.input));  // only ever read
    for (std::size_t r = 0; r < counts.size(); r++) {
        messages.push_back({true, static_cast<Rank>(r), block, counts[r] * width});
        messages.push_back({false, static_cast<Rank>(r), *cells + r * stride, own_bytes});
        block += counts[r] * width;
    }
    ExchangePreparation preparation{device_, links_, messages};
    if (auto made = make_lanes(preparation.lane_count()); !made) return std::unexpected(made.error());
    const DeviceSum sum{.cells = *cells, .stride = stride, .destination = static_cast<std::byte*>(buffers.output),
                        .elements = {counts[own]}, .type = request.type, .op = request.op};
    return preparation.prepare(&sum);
}

// From the second on: the first is the caller's stream.
Result<void> StreamExecution::make_lanes(std::size_t count) {
    while (lanes_.size() + 1 < count) {
        auto made = device_.create_stream();
        if (!made) return std::unexpected(made.error());
        lanes_.push_back(std::move(*made));
    }
    return {};
}

Result<void> StreamExecution::issue(const DeviceCall& call, std::size_t part, device::Stream& stream) {
    return call.issue(part, stream, lanes_);
}

Result<void> StreamExecution::issue(const DeviceCall& call, device::Stream& stream) {
    Result<void> issued;
    for (std::size_t part = 0; issued && part < call.part_count(); part++) issued = issue(call, part, stream);
    return issued;
}

Result<void> StreamExecution::synchronize(device::Stream& stream, std::uint64_t timeout_ms) {
    auto done = stream.synchronize(timeout_ms);
    if (done) return done;
    // A lane's own error says more than that the caller's stream waits for the lane.
    if (done.error().status == Status::timeout)
        if (const auto failure = lane_failure()) done = std::unexpected(*failure);
    constexpr std::uint64_t patience_ms = 5'000;
    [[maybe_unused]] const auto given_up =
        give_up([&](std::uint64_t within_ms) { return stream.abandon(within_ms); }, patience_ms);
    return done;
}

std::optional<Error> StreamExecution::lane_failure() {
    for (const auto& lane : lanes_)
        if (const auto idle = lane->idle(); !idle) return idle.error();
    return std::nullopt;
}

Result<void> StreamExecution::give_up(const std::function<Result<void>(std::uint64_t)>& abandon,
                                      std::uint64_t timeout_ms) {
    constexpr std::uint64_t moment_ms = 10;
    const std::uint64_t rounds = std::max<std::uint64_t>(1, timeout_ms / moment_ms / (lanes_.size() + 1));
    Result<void> ended;
    for (std::uint64_t round = 0; round < rounds; round++) {
        ended = abandon(moment_ms);
        for (const auto& lane : lanes_)
            if (auto lane_ended = lane->abandon(moment_ms); !lane_ended) ended = lane_ended;
        if (ended) break;
    }
    return ended;
}

Result<std::byte*> StreamExecution::scratch(std::uint64_t bytes) {
    if (bytes == 0) return nullptr;
    if (scratch_.empty() || scratch_.back()->bytes().value < bytes) {
        auto made = device_.allocate({.bytes = {std::bit_ceil(bytes)}});
        if (!made) return std::unexpected(made.error());
        scratch_.push_back(std::move(*made));
    }
    return scratch_.back()->data();
}

}  // namespace tenon
