// Streams, copies and reductions.
#include <fmt/format.h>

#include "tests/support/emulated_acl/stream_call.hpp"

using namespace tenon;
using namespace tenon::support::acl;

namespace {

constexpr std::uint64_t patience_ms = 30'000;

bool is_host(abi::MemcpyKind kind) {
    return kind == abi::MemcpyKind::host_to_device || kind == abi::MemcpyKind::device_to_host;
}

// What a copy may not do; success where it is right.
Code wrong_copy(const StreamCall& call, const Located& to, const Located& from, abi::MemcpyKind kind) {
    if (kind == abi::MemcpyKind::host_to_host)
        return call.misuse(abi::feature_unsupported, "streams do not copy within the host");
    const auto own = call.stream().context->device->index;
    const bool is_right = kind == abi::MemcpyKind::host_to_device   ? to.device == own && !from.device
                          : kind == abi::MemcpyKind::device_to_host ? from.device == own && !to.device
                          : kind == abi::MemcpyKind::device_to_device ? to.device && from.device
                                                                      : false;
    if (is_right) return abi::success;
    return call.misuse(abi::invalid_parameter,
                       fmt::format("the kind {} is not what the addresses are: between the host and the stream's own "
                                   "device, or between devices",
                                   static_cast<std::uint32_t>(kind)));
}

std::optional<DataType> data_type(abi::ElementType type) {
    switch (type) {
        case abi::ElementType::int8: return DataType::int8;
        case abi::ElementType::int16: return DataType::int16;
        case abi::ElementType::int32: return DataType::int32;
        case abi::ElementType::float16: return DataType::float16;
        case abi::ElementType::bfloat16: return DataType::bfloat16;
        case abi::ElementType::float32: return DataType::float32;
    }
    return std::nullopt;
}

std::optional<ReduceOp> operation(abi::ReduceKind kind) {
    switch (kind) {
        case abi::ReduceKind::sum: return ReduceOp::sum;
        case abi::ReduceKind::max: return ReduceOp::max;
        case abi::ReduceKind::min: return ReduceOp::min;
    }
    return std::nullopt;
}

}  // namespace

namespace tenon::support::acl {

StreamCall::StreamCall(const char* function, Handle stream, bool wants_context) : Call{function} {
    if (end()) {
        code_ = *end();
        return;
    }
    stream_ = state().streams.find(stream);
    if (stream_ == nullptr)
        code_ = misuse(abi::invalid_handle, "this is no stream (any more)");
    else if (const auto current = context(); current == nullptr)
        code_ = abi::no_context;
    else if (wants_context && current != stream_->context)
        code_ = misuse(abi::stream_of_other_context, "the stream is not of this thread's context");
}

Code StreamCall::code_of(const Result<void>& done) const {
    if (done) return abi::success;
    if (stream_->is_aborted) return abi::stream_abort;
    if (state().machine->has_failed(stream_->context->device->index)) return abi::device_memory_error;
    return Call::code_of(done.error());
}

}  // namespace tenon::support::acl

Code aclrtCreateStreamWithConfig(Handle* stream, std::uint32_t priority, std::uint32_t flags) {
    const Call call{"aclrtCreateStreamWithConfig"};
    if (call.end()) return *call.end();
    auto context = call.context();
    if (context == nullptr) return abi::no_context;
    if (priority > 7 || (flags & ~(abi::stream_launches_fast | abi::stream_synchronizes_fast)) != 0)
        return call.misuse(abi::invalid_parameter, "priorities are 0 to 7, and the emulated one has two flags");
    auto made = emulated::EmulatedStream::create(context->device);
    if (!made) return abi::no_stream;
    auto object = std::make_shared<AclStream>();
    object->context = std::move(context);
    object->stream = std::move(*made);
    *stream = call.state().streams.add(std::move(object));
    return abi::success;
}

Code aclrtSetStreamFailureMode(Handle stream, std::uint64_t mode) {
    const StreamCall call{"aclrtSetStreamFailureMode", stream};
    if (call.code() != abi::success) return call.code();
    // The emulated streams stop always.
    return mode == abi::stream_stops_on_failure ? abi::success
                                                : call.misuse(abi::invalid_parameter, "streams stop on failure here");
}

Code aclrtDestroyStreamForce(Handle stream) {
    StreamCall call{"aclrtDestroyStreamForce", stream};
    if (call.code() != abi::success) return call.code();
    const auto ending = call.state().streams.take(stream);
    call.unlock();
    return abi::success;
}

Code aclrtStreamQuery(Handle stream, abi::StreamStatus* status) {
    const StreamCall call{"aclrtStreamQuery", stream};
    if (call.code() != abi::success) return call.code();
    const auto idle = call.stream().stream->idle();
    if (!idle) return call.code_of(std::unexpected(idle.error()));
    *status = *idle ? abi::StreamStatus::complete : abi::StreamStatus::not_ready;
    return abi::success;
}

Code aclrtSynchronizeStreamWithTimeout(Handle stream, std::int32_t milliseconds) {
    StreamCall call{"aclrtSynchronizeStreamWithTimeout", stream};
    if (call.code() != abi::success) return call.code();
    if (milliseconds <= 0 && milliseconds != -1)
        return call.misuse(abi::invalid_parameter, "a time is at least 1 ms, or -1 for ever");
    call.unlock();
    for (;;) {
        const std::uint64_t limit_ms = milliseconds < 0 ? patience_ms : static_cast<std::uint64_t>(milliseconds);
        const auto done = call.stream().stream->synchronize(limit_ms);
        const bool waits_on = !done && done.error().status == Status::timeout && milliseconds < 0;
        if (!waits_on) return call.code_of(done);
    }
}

Code aclrtStreamAbort(Handle stream) {
    StreamCall call{"aclrtStreamAbort", stream};
    if (call.code() != abi::success) return call.code();
    call.unlock();
    call.stream().is_aborted = true;
    return call.stream().stream->abandon(patience_ms) ? abi::success : abi::driver_timeout;
}

Code aclrtMemcpyAsync(void* destination, std::size_t most, const void* source, std::size_t bytes, abi::MemcpyKind kind,
                      Handle stream) {
    StreamCall call{"aclrtMemcpyAsync", stream};
    if (call.code() != abi::success) return call.code();
    if (bytes == 0 || bytes > most)
        return call.misuse(abi::invalid_parameter, "nothing is to be copied, or more than there is room for");
    const Located to = locate(call.state(), destination, bytes), from = locate(call.state(), source, bytes);
    if (const Code wrong = wrong_copy(call, to, from, kind); wrong != abi::success) return wrong;
    const Code code = call.code_of(call.stream().stream->copy(to.address, from.address, {bytes}));
    if (code != abi::success || !is_host(kind)) return code;
    // The host's memory is not pinned, and then the call lasts as long as the copy.
    call.unlock();
    for (;;) {
        const auto done = call.stream().stream->synchronize(patience_ms);
        if (done || done.error().status != Status::timeout) return call.code_of(done);
    }
}

Code aclrtReduceAsync(void* destination, const void* source, std::uint64_t bytes, abi::ReduceKind kind,
                      abi::ElementType type, Handle stream, void* reserved) {
    const StreamCall call{"aclrtReduceAsync", stream};
    if (call.code() != abi::success) return call.code();
    const auto elements = data_type(type);
    const auto op = operation(kind);
    if (!elements || !op || reserved != nullptr || bytes == 0 || bytes % element_bytes(*elements) != 0)
        return call.misuse(abi::invalid_parameter, "a type, an operation or a number of bytes that is not reduced");
    const Located to = locate(call.state(), destination, bytes), from = locate(call.state(), source, bytes);
    const auto own = call.stream().context->device->index;
    if (to.device != own || from.device != own)
        return call.misuse(abi::invalid_parameter, "a stream reduces in its own device's memory only");
    return call.code_of(call.stream().stream->reduce(to.address, from.address,
                                                     {bytes / element_bytes(*elements)}, *elements, *op));
}
