#include "transports/device_link/cuda/stream.hpp"

#include <fmt/format.h>

#include "os/clock.hpp"
#include "os/cpu.hpp"
#include "transports/device_link/cuda/kernels.hpp"

namespace tenon::cuda {
namespace {

constexpr unsigned threads_per_block = 256;
constexpr unsigned blocks_per_processor = 8;

}  // namespace

Result<std::unique_ptr<device::Event>> CudaEvent::create(std::shared_ptr<Context> context) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<CudaEvent> made{new CudaEvent{std::move(context)}};
    Context& of = *made->context_;
    if (auto r = of.check(of.api().create_event(&made->event_, 0), "cuEventCreate"); !r)
        return std::unexpected(r.error());
    return made;
}

CudaEvent::~CudaEvent() {
    if (event_ != nullptr && context_->enter()) context_->api().destroy_event(event_);
}

Result<bool> CudaEvent::reached() const {
    if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
    const Code code = context_->api().query_event(event_);
    if (code == success || code == not_ready) return code == success;
    return std::unexpected(context_->problem(code, "cuEventQuery"));
}

Result<std::uint64_t> CudaEvent::ns_since(const device::Event& earlier) const {
    const auto& other = dynamic_cast<const CudaEvent&>(earlier);
    if (!is_recorded_ || !other.is_recorded_)
        return fail(Status::invalid_usage, fmt::format("GPU {}: the time between two events is known once streams have "
                                                       "reached both: record them and synchronize first",
                                                       context_->index()));
    if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
    float milliseconds = 0;
    if (auto r = context_->check(context_->api().elapsed_ms(&milliseconds, other.event_, event_), "cuEventElapsedTime");
        !r)
        return std::unexpected(r.error());
    constexpr float ns_per_ms = 1e6F;
    return static_cast<std::uint64_t>(std::max(milliseconds, 0.0F) * ns_per_ms);
}

Result<std::unique_ptr<device::Stream>> CudaStream::create(std::shared_ptr<Context> context) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<CudaStream> made{new CudaStream{std::move(context)}};
    Context& of = *made->context_;
    if (auto r = of.check(of.api().create_stream(&made->stream_, stream_is_non_blocking), "cuStreamCreate"); !r)
        return std::unexpected(r.error());
    return made;
}

// The default stream, too, whose handle is null.
Result<std::unique_ptr<device::Stream>> CudaStream::adopt(std::shared_ptr<Context> context, StreamHandle native) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<CudaStream> adopted{new CudaStream{std::move(context)}};
    adopted->stream_ = native;
    adopted->is_adopted_ = true;
    Context& of = *adopted->context_;
    if (const Code code = of.api().query_stream(native); code != success && code != not_ready)
        return std::unexpected(of.problem(code, "cuStreamQuery"));
    return adopted;
}

CudaStream::~CudaStream() {
    if (is_adopted_ || stream_ == nullptr || !context_->enter()) return;
    constexpr std::uint64_t patience_ms = 10'000;
    if (context_->api().query_stream(stream_) == not_ready) [[maybe_unused]]
        const auto ended = abandon(patience_ms);
    context_->api().destroy_stream(stream_);
}

Result<void> CudaStream::begin() const {
    if (error_) return std::unexpected(*error_);
    return context_->enter();
}

Result<void> CudaStream::done(Code code, const char* call) {
    if (code == success) return {};
    error_ = context_->problem(code, call);
    return std::unexpected(*error_);
}

Result<void> CudaStream::copy(void* destination, const void* source, ByteCount bytes) {
    if (bytes.value == 0) return {};
    if (auto r = begin(); !r) return r;
    return done(context_->api().copy(reinterpret_cast<Address>(destination), reinterpret_cast<Address>(source),
                                     bytes.value, stream_),
                "cuMemcpyAsync");
}

Result<void> CudaStream::reduce(void* destination, const void* source, ElementCount elements, DataType type,
                                ReduceOp op) {
    if (elements.value == 0) return {};
    if (!has_kernel(type, op))
        return fail(Status::invalid_argument,
                    fmt::format("GPU {} has no kernel for {} of {}: convert to another type, or "
                                "reduce on the host",
                                context_->index(), name_of(op), name_of(type)));
    if (auto r = begin(); !r) return r;
    if (auto r = context_->expect_own_memory(destination, "the destination of a reduction"); !r) return r;
    auto into = reinterpret_cast<Address>(destination), from = reinterpret_cast<Address>(source);
    const std::uint64_t per_packet = packet_bytes / element_bytes(type);
    const bool is_aligned = into % packet_bytes == 0 && from % packet_bytes == 0;
    std::uint64_t packets = is_aligned ? elements.value / per_packet : 0;
    std::uint64_t first = packets * per_packet, count = elements.value;
    void* parameters[] = {&into, &from, &packets, &first, &count};
    const std::uint64_t work = std::max(packets, count - first);
    const std::uint64_t blocks = std::min<std::uint64_t>((work + threads_per_block - 1) / threads_per_block,
                                                         context_->processors() * blocks_per_processor);
    return done(context_->api().launch(context_->kernel(type, op), static_cast<unsigned>(blocks), threads_per_block,
                                       stream_, parameters),
                "cuLaunchKernel");
}

Result<void> CudaStream::record(device::Event& event) {
    auto& own = dynamic_cast<CudaEvent&>(event);
    if (auto r = begin(); !r) return r;
    own.is_recorded_ = true;
    return done(context_->api().record_event(own.event_, stream_), "cuEventRecord");
}

Result<void> CudaStream::wait(const device::Event& event) {
    const auto& own = dynamic_cast<const CudaEvent&>(event);
    if (!own.is_recorded_)
        return fail(Status::invalid_usage, fmt::format("a stream of GPU {} is to wait for an event that was never "
                                                       "recorded: record it first",
                                                       context_->index()));
    if (auto r = begin(); !r) return r;
    return done(context_->api().wait_event(stream_, own.event_, 0), "cuStreamWaitEvent");
}

// The write comes after a fence, so that whoever sees it sees what this stream wrote before.
Result<void> CudaStream::record(device::Notify& notify) {
    const auto& target = dynamic_cast<CudaNotify&>(notify);
    if (auto r = begin(); !r) return r;
    return done(context_->api().write_value(stream_, target.address(), notify_set, 0), "cuStreamWriteValue32");
}

Result<void> CudaStream::wait(device::Notify& notify) {
    const auto& own = dynamic_cast<CudaNotify&>(notify);
    if (!own.is_of(*context_))
        return fail(Status::invalid_argument,
                    fmt::format("GPU {}: a notify is waited for by streams of the device that "
                                "created it",
                                context_->index()));
    if (auto r = begin(); !r) return r;
    awaited_.insert(own.address());
    const unsigned flags = wait_for_at_least | (context_->flushes_remote_writes() ? flush_remote_writes : 0);
    if (auto r = done(context_->api().wait_value(stream_, own.address(), notify_set, flags), "cuStreamWaitValue32"); !r)
        return r;
    return done(context_->api().write_value(stream_, own.address(), 0, 0), "cuStreamWriteValue32");
}

Result<bool> CudaStream::idle() {
    if (auto r = begin(); !r) return std::unexpected(r.error());
    const Code code = context_->api().query_stream(stream_);
    if (code == not_ready) return false;
    if (auto r = done(code, "cuStreamQuery"); !r) return std::unexpected(r.error());
    awaited_.clear();
    return true;
}

Result<void> CudaStream::synchronize(std::uint64_t timeout_ms) {
    const os::Deadline deadline = os::Deadline::after_ms(timeout_ms);
    for (;;) {
        const auto is_idle = idle();
        if (!is_idle) return std::unexpected(is_idle.error());
        if (*is_idle) return {};
        if (deadline.passed())
            return fail(Status::timeout,
                        fmt::format("a stream of GPU {} is not done after {} ms: a peer may not have come",
                                    context_->index(), timeout_ms));
        os::yield_core();
    }
}

// Sets what the stream waits for until it has passed all its waits: each resets its word, so once is not enough.
Result<void> CudaStream::abandon(std::uint64_t timeout_ms) {
    const Error abandoned{Status::aborted, fmt::format("a stream of GPU {} was abandoned", context_->index())};
    const os::Deadline deadline = os::Deadline::after_ms(timeout_ms);
    if (!error_) error_ = abandoned;
    if (auto entered = context_->enter(); !entered) return entered;
    while (context_->api().query_stream(stream_) == not_ready) {
        for (const Address word : awaited_)
            if (auto written = context_->write_word(word, notify_set); !written) return written;
        if (deadline.passed())
            return fail(Status::timeout,
                        fmt::format("a stream of GPU {} still runs after {} ms", context_->index(), timeout_ms));
    }
    return {};
}

}  // namespace tenon::cuda
