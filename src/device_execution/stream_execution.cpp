#include "device_execution/stream_execution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "device_execution/preparation.hpp"

namespace tenon {
namespace {

Result<void> expect_on_device(const device::Device& device, const void* buffer, const char* what) {
    const auto at = device.locate(buffer);
    if (!at) return std::unexpected(at.error());
    if (at->kind == device::MemoryKind::device && at->device == device.index()) return {};
    return fail(Status::invalid_argument,
                fmt::format("the {} buffer is not in the memory of device {}: allocate it there, or use a communicator "
                            "of the host's memory",
                            what, device.index()));
}

Result<void> check(const Plan& plan, const Request& request, const device::Device& device, const DeviceLinks& links) {
    const std::string call =
        fmt::format("{} by {} on device {}", name_of(plan.collective), plan.algorithm, device.index());
    if (plan.lanes.size() > device.facts().independent_streams)
        return fail(
            Status::invalid_argument,
            fmt::format("{}: the plan has {} lanes, and the device runs {} streams at once: choose another algorithm",
                        call, plan.lanes.size(), device.facts().independent_streams));
    if (reduces(plan.collective) && !device.can_reduce(request.type, request.op))
        return fail(Status::invalid_argument,
                    fmt::format("{}: devices of this kind have no {} of {}: use the host's memory", call,
                                name_of(request.op), name_of(request.type)));
    if (reduces(plan.collective) && request.deterministic && is_narrow_float(request.type))
        return fail(Status::invalid_argument,
                    fmt::format("{}: devices round each sum of {}, so its bits depend on the order: use float32, or no "
                                "deterministic mode",
                                call, name_of(request.type)));
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

Result<DeviceCall> StreamExecution::prepare(const Plan& plan, const Request& request, const DeviceBuffers& buffers) {
    if (auto possible = check(plan, request, device_, links_); !possible) return std::unexpected(possible.error());
    if (request.count.value != 0 && plan.input_blocks != 0)
        if (auto there = expect_on_device(device_, buffers.input, "input"); !there)
            return std::unexpected(there.error());
    if (request.count.value != 0 && plan.output_blocks != 0)
        if (auto there = expect_on_device(device_, buffers.output, "output"); !there)
            return std::unexpected(there.error());
    Preparation preparation{device_, links_, plan, request, buffers};
    const auto memory = scratch(preparation.scratch_bytes());
    if (!memory) return std::unexpected(memory.error());
    while (lanes_.size() + 1 < plan.lanes.size()) {
        auto made = device_.create_stream();
        if (!made) return std::unexpected(made.error());
        lanes_.push_back(std::move(*made));
    }
    return preparation.prepare(*memory);
}

Result<void> StreamExecution::issue(const DeviceCall& call, device::Stream& stream) {
    return call.issue(stream, lanes_);
}

Result<void> StreamExecution::synchronize(device::Stream& stream, std::uint64_t timeout_ms) {
    auto done = stream.synchronize(timeout_ms);
    if (done) return done;
    // A lane's own error says more than that the caller's stream waits for the lane.
    for (const auto& lane : lanes_)
        if (const auto idle = lane->idle(); !idle && done.error().status == Status::timeout)
            done = std::unexpected(idle.error());
    constexpr std::uint64_t patience_ms = 5'000;
    [[maybe_unused]] auto given_up = stream.abandon(patience_ms);
    for (const auto& lane : lanes_) given_up = lane->abandon(patience_ms);
    return done;
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
