#include "transports/device_link/ascend/stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace tenon::ascend {
namespace {

std::optional<abi::ElementType> element_type(DataType type) {
    switch (type) {
        case DataType::int8: return abi::ElementType::int8;
        case DataType::int16: return abi::ElementType::int16;
        case DataType::int32: return abi::ElementType::int32;
        case DataType::float16: return abi::ElementType::float16;
        case DataType::bfloat16: return abi::ElementType::bfloat16;
        case DataType::float32: return abi::ElementType::float32;
        default: return std::nullopt;
    }
}

std::optional<abi::ReduceKind> reduce_kind(ReduceOp op) {
    switch (op) {
        case ReduceOp::sum: return abi::ReduceKind::sum;
        case ReduceOp::max: return abi::ReduceKind::max;
        case ReduceOp::min: return abi::ReduceKind::min;
        default: return std::nullopt;
    }
}

}  // namespace

bool has_reduction(DataType type, ReduceOp op) { return element_type(type) && reduce_kind(op); }

// Events of this kind may be recorded again at once; who waits, waits for the record before.
Result<std::unique_ptr<device::Event>> AscendEvent::create(std::shared_ptr<Context> context) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<AscendEvent> made{new AscendEvent{std::move(context)}};
    Context& of = *made->context_;
    const abi::Code code = of.acl().create_event(&made->event_, abi::event_synchronizes | abi::event_keeps_time);
    if (code == abi::success) return made;
    made->event_ = nullptr;
    return std::unexpected(of.problem(code, "aclrtCreateEventExWithFlag"));
}

AscendEvent::~AscendEvent() {
    if (event_ != nullptr && context_->enter()) context_->acl().destroy_event(event_);
}

Result<bool> AscendEvent::reached() const {
    if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
    auto status = abi::EventStatus::not_ready;
    if (auto r = context_->check(context_->acl().query_event_status(event_, &status), "aclrtQueryEventStatus"); !r)
        return std::unexpected(r.error());
    return status == abi::EventStatus::complete;
}

Result<std::uint64_t> AscendEvent::ns_since(const device::Event& earlier) const {
    const auto& other = dynamic_cast<const AscendEvent&>(earlier);
    if (!is_recorded_ || !other.is_recorded_)
        return fail(Status::invalid_usage,
                    fmt::format("Ascend device {}: the time between two events is known once streams have reached "
                                "both: record them and synchronize first",
                                context_->index()));
    if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
    float milliseconds = 0;
    if (auto r = context_->check(context_->acl().event_elapsed_time(&milliseconds, other.event_, event_),
                                 "aclrtEventElapsedTime");
        !r)
        return std::unexpected(r.error());
    constexpr float ns_per_ms = 1e6F;
    return static_cast<std::uint64_t>(std::max(milliseconds, 0.0F) * ns_per_ms);
}

Result<std::unique_ptr<device::Stream>> AscendStream::create(std::shared_ptr<Context> context) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<AscendStream> made{new AscendStream{std::move(context)}};
    Context& of = *made->context_;
    constexpr std::uint32_t flags = abi::stream_launches_fast | abi::stream_synchronizes_fast;
    if (auto r = of.check(of.acl().create_stream(&made->stream_, 0, flags), "aclrtCreateStreamWithConfig"); !r) {
        made->stream_ = nullptr;
        return std::unexpected(r.error());
    }
    if (auto r = made->stop_on_failure(); !r) return std::unexpected(r.error());
    return made;
}

Result<std::unique_ptr<device::Stream>> AscendStream::adopt(std::shared_ptr<Context> context, abi::Handle native) {
    if (native == nullptr)
        return fail(Status::invalid_argument,
                    fmt::format("Ascend device {}: the stream is NULL: create one with aclrtCreateStream",
                                context->index()));
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<AscendStream> adopted{new AscendStream{std::move(context)}};
    adopted->stream_ = native;
    adopted->is_adopted_ = true;
    if (auto r = adopted->stop_on_failure(); !r) return std::unexpected(r.error());
    return adopted;
}

Result<void> AscendStream::stop_on_failure() {
    return context_->check(context_->acl().set_stream_failure_mode(stream_, abi::stream_stops_on_failure),
                           "aclrtSetStreamFailureMode");
}

AscendStream::~AscendStream() {
    if (is_adopted_ || stream_ == nullptr || !context_->enter()) return;
    auto status = abi::StreamStatus::complete;
    if (context_->acl().stream_query(stream_, &status) == abi::success && status == abi::StreamStatus::not_ready)
        context_->acl().stream_abort(stream_);
    context_->acl().destroy_stream(stream_);
}

Result<void> AscendStream::begin() const {
    if (error_) return std::unexpected(*error_);
    return context_->enter();
}

Result<void> AscendStream::done(abi::Code code, const char* call) {
    if (code == abi::success) return {};
    error_ = context_->problem(code, call);
    return std::unexpected(*error_);
}

// Never left to the runtime to find out: with imported memory it may not.
Result<abi::MemcpyKind> AscendStream::kind_of(const void* destination, const void* source) const {
    const auto to = context_->place_of(destination), from = context_->place_of(source);
    if (!to) return std::unexpected(to.error());
    if (!from) return std::unexpected(from.error());
    if (*to != Place::host && *from != Place::host) return abi::MemcpyKind::device_to_device;
    if (*to == Place::own) return abi::MemcpyKind::host_to_device;
    if (*from == Place::own) return abi::MemcpyKind::device_to_host;
    return fail(Status::invalid_argument,
                fmt::format("Ascend device {} copies between the host and its own memory, not {}: copy through memory "
                            "of this device",
                            context_->index(),
                            *to == *from ? "within the host's" : "between the host and another device's"));
}

Result<void> AscendStream::copy(void* destination, const void* source, ByteCount bytes) {
    if (bytes.value == 0) return {};
    if (auto r = begin(); !r) return r;
    const auto kind = kind_of(destination, source);
    if (!kind) return std::unexpected(kind.error());
    return done(context_->acl().memcpy_async(destination, bytes.value, source, bytes.value, *kind, stream_),
                "aclrtMemcpyAsync");
}

Result<void> AscendStream::reduce(void* destination, const void* source, ElementCount elements, DataType type,
                                  ReduceOp op) {
    if (elements.value == 0) return {};
    if (!has_reduction(type, op))
        return fail(Status::invalid_argument,
                    fmt::format("Ascend device {} has no {} of {}: sums, maxima and minima of int8, int16, int32, "
                                "float16, bfloat16 and float32 are what there is",
                                context_->index(), name_of(op), name_of(type)));
    if (auto r = begin(); !r) return r;
    const std::uint64_t bytes = elements.value * element_bytes(type);
    for (const auto& [address, what] : {std::pair<const void*, const char*>{destination, "a reduction's destination"},
                                        std::pair<const void*, const char*>{source, "a reduction's source"}})
        if (auto own = context_->expect_own_memory(address, bytes, what); !own) return own;
    return done(context_->acl().reduce_async(destination, source, bytes, *reduce_kind(op), *element_type(type),
                                             stream_, nullptr),
                "aclrtReduceAsync");
}

Result<void> AscendStream::record(device::Event& event) {
    auto& own = dynamic_cast<AscendEvent&>(event);
    if (auto r = begin(); !r) return r;
    own.is_recorded_ = true;
    return done(context_->acl().record_event(own.event_, stream_), "aclrtRecordEvent");
}

Result<void> AscendStream::wait(const device::Event& event) {
    const auto& own = dynamic_cast<const AscendEvent&>(event);
    if (!own.is_recorded_)
        return fail(Status::invalid_usage,
                    fmt::format("a stream of Ascend device {} is to wait for an event that was never recorded: record "
                                "it first",
                                context_->index()));
    if (auto r = begin(); !r) return r;
    return done(context_->acl().stream_wait_event(stream_, own.event_), "aclrtStreamWaitEvent");
}

Result<void> AscendStream::record(device::Notify& notify) {
    const auto& target = dynamic_cast<AscendNotify&>(notify);
    if (auto r = begin(); !r) return r;
    return done(context_->acl().record_notify(target.handle(), stream_), "aclrtRecordNotify");
}

Result<void> AscendStream::wait(device::Notify& notify) {
    const auto& own = dynamic_cast<AscendNotify&>(notify);
    if (!own.is_of(*context_))
        return fail(Status::invalid_argument,
                    fmt::format("Ascend device {}: a notify is waited for by streams of the device that created it",
                                context_->index()));
    if (auto r = begin(); !r) return r;
    // For ever: who synchronizes has the limit.
    return done(context_->acl().wait_and_reset_notify(own.handle(), stream_, 0), "aclrtWaitAndResetNotify");
}

Result<bool> AscendStream::idle() {
    if (auto r = begin(); !r) return std::unexpected(r.error());
    auto status = abi::StreamStatus::not_ready;
    if (auto r = done(context_->acl().stream_query(stream_, &status), "aclrtStreamQuery"); !r)
        return std::unexpected(r.error());
    return status == abi::StreamStatus::complete;
}

Result<void> AscendStream::synchronize(std::uint64_t timeout_ms) {
    if (auto r = begin(); !r) return r;
    constexpr auto most_ms = static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max());
    const auto wait_ms = static_cast<std::int32_t>(std::clamp<std::uint64_t>(timeout_ms, 1, most_ms));
    const abi::Code code = context_->acl().synchronize_stream(stream_, wait_ms);
    if (code != abi::stream_synchronize_timeout) return done(code, "aclrtSynchronizeStreamWithTimeout");
    return fail(Status::timeout, fmt::format("a stream of Ascend device {} is not done after {} ms: a peer may not "
                                             "have come",
                                             context_->index(), timeout_ms));
}

// The runtime ends the waits and forgets what has not run, and returns when that is so, within its own limit.
Result<void> AscendStream::abandon(std::uint64_t) {
    if (auto entered = context_->enter(); !entered) return entered;
    if (!error_)
        error_ = Error{Status::aborted, fmt::format("a stream of Ascend device {} was abandoned", context_->index())};
    return context_->check(context_->acl().stream_abort(stream_), "aclrtStreamAbort");
}

}  // namespace tenon::ascend
