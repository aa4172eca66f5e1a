#include "transports/device_link/emulated/stream.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstring>

#include "os/futex.hpp"
#include "os/thread.hpp"

namespace tenon::emulated {
namespace {

// How long a waiting worker sleeps before it looks whether its stream was abandoned.
constexpr std::uint64_t look_again_us = 20'000;

}  // namespace

Result<std::unique_ptr<device::Notify>> EmulatedNotify::create(const std::shared_ptr<DeviceState>& device) {
    const auto number = device->machine->create_notify(device->index);
    if (!number) return std::unexpected(number.error());
    return std::unique_ptr<device::Notify>{new EmulatedNotify{device->machine, device->index, *number}};
}

Result<std::unique_ptr<device::Notify>> EmulatedNotify::import(const std::shared_ptr<DeviceState>& device,
                                                               const device::Key& key) {
    const auto imported = device->machine->import_notify(key, device->index);
    if (!imported) return std::unexpected(imported.error());
    std::unique_ptr<EmulatedNotify> made{new EmulatedNotify{device->machine, imported->device, imported->number}};
    made->imported_ = *imported;
    return made;
}

EmulatedNotify::~EmulatedNotify() {
    if (imported_)
        machine_->close_import(*imported_);
    else
        machine_->destroy_notify(device_, number_);
}

Result<device::Key> EmulatedNotify::share(std::span<const device::ProcessNumber> importers) {
    if (imported_)
        return fail(Status::invalid_usage, fmt::format("notify {} of emulated device {} is imported: its own process "
                                                       "shares it",
                                                       number_, device_));
    return machine_->share_notify(device_, number_, importers);
}

Result<bool> EmulatedEvent::reached() const {
    return state_->reached.load(std::memory_order_acquire) == state_->recorded.load(std::memory_order_relaxed);
}

Result<std::uint64_t> EmulatedEvent::ns_since(const device::Event& earlier) const {
    const auto* const other = dynamic_cast<const EmulatedEvent*>(&earlier);
    if (other == nullptr || state_->reached.load(std::memory_order_acquire) == 0 ||
        other->state_->reached.load(std::memory_order_acquire) == 0)
        return fail(Status::invalid_usage,
                    "the time between two events of emulated devices is known once streams have "
                    "reached both: record them and synchronize first");
    const std::uint64_t own_ns = state_->last_time_ns();
    return own_ns - std::min(own_ns, other->state_->last_time_ns());
}

Result<std::unique_ptr<device::Stream>> EmulatedStream::create(std::shared_ptr<DeviceState> device) {
    std::unique_ptr<EmulatedStream> made{new EmulatedStream{std::move(device)}};
    auto worker = os::start_thread([stream = made.get()] { stream->work(); });
    if (!worker) return std::unexpected(worker.error());
    made->worker_ = std::move(*worker);
    return made;
}

EmulatedStream::~EmulatedStream() {
    is_abandoned_ = true;
    {
        const std::scoped_lock held{mutex_};
        is_closing_ = true;
    }
    changed_.notify_all();
    if (worker_.joinable()) worker_.join();
}

void EmulatedStream::work() {
    std::unique_lock held{mutex_};
    for (;;) {
        changed_.wait(held, [this] { return is_closing_ || !tasks_.empty(); });
        if (tasks_.empty()) return;
        const Task task = std::move(tasks_.front());
        tasks_.pop_front();
        if (!error_ && !is_abandoned_) {
            is_running_ = true;
            held.unlock();
            time_ns_ += device_->machine->task_ns();
            auto done = device_->machine->begin_operation(device_->index) ? task() : failed_device();
            held.lock();
            is_running_ = false;
            if (!done) error_ = done.error();
        }
        if (is_abandoned_ && !error_) error_ = abandoned();
        if (tasks_.empty()) changed_.notify_all();
    }
}

Result<void> EmulatedStream::failed_device() const {
    return fail(Status::device_error, fmt::format("emulated device {} has failed, as a test wanted", device_->index));
}

Error EmulatedStream::abandoned() const {
    return {Status::aborted, fmt::format("a stream of emulated device {} was abandoned", device_->index)};
}

Result<void> EmulatedStream::enqueue(Task task) {
    {
        const std::scoped_lock held{mutex_};
        if (error_) return std::unexpected(*error_);
        tasks_.push_back(std::move(task));
    }
    changed_.notify_all();
    return {};
}

Result<std::optional<device::DeviceIndex>> EmulatedStream::place_of(const void* address, std::uint64_t bytes) const {
    const auto owner = device_->machine->owner_of(address, bytes);
    if (!owner) return owner;
    if ((device_->peers.load() >> *owner & 1) == 0)
        return fail(Status::device_error, fmt::format("emulated device {} does not reach the memory of device {}: call "
                                                      "enable_peer({}) first",
                                                      device_->index, *owner, *owner));
    if (!device_->machine->is_allocated(*owner, address, bytes))
        return fail(
            Status::invalid_argument,
            fmt::format("these {} bytes of emulated device {} are not allocated: the operation reaches past its "
                        "memory, or it was freed",
                        bytes, *owner));
    return owner;
}

// Writes are done when they have arrived; a read is a question and its answer.
void EmulatedStream::pass_transfer(std::optional<device::DeviceIndex> from, std::optional<device::DeviceIndex> to,
                                   std::uint64_t bytes) {
    Machine& machine = *device_->machine;
    if (!from || !to) {
        time_ns_ = machine.transfer_with_host(from ? *from
                                              : to ? *to
                                                   : device_->index,
                                              bytes, time_ns_) +
                   machine.host_link().latency_ns;
        return;
    }
    const std::uint64_t latency_ns = machine.link(*from, *to).latency_ns;
    const bool is_read = *from != device_->index;
    if (is_read) time_ns_ += latency_ns;
    time_ns_ = machine.transfer(*from, *to, bytes, time_ns_) + latency_ns;
}

Result<void> EmulatedStream::copy(void* destination, const void* source, ByteCount bytes) {
    if (bytes.value == 0) return {};
    const auto to = place_of(destination, bytes.value);
    const auto from = place_of(source, bytes.value);
    if (!to) return std::unexpected(to.error());
    if (!from) return std::unexpected(from.error());
    return enqueue([this, destination, source, bytes, to = *to, from = *from]() -> Result<void> {
        std::memmove(destination, source, bytes.value);
        pass_transfer(from, to, bytes.value);
        return {};
    });
}

Result<void> EmulatedStream::reduce(void* destination, const void* source, ElementCount elements, DataType type,
                                    ReduceOp op) {
    if (elements.value == 0) return {};
    if (op == ReduceOp::avg)
        return fail(Status::invalid_argument, "devices add, multiply and compare; an average is a sum that is divided");
    const std::uint64_t bytes = elements.value * element_bytes(type);
    const auto to = place_of(destination, bytes);
    const auto from = place_of(source, bytes);
    if (!to) return std::unexpected(to.error());
    if (!from) return std::unexpected(from.error());
    const bool is_own_source = *from == device_->index;
    if (*to != device_->index || !(is_own_source || (*from && device_->machine->reduces_from_peers())))
        return fail(Status::invalid_argument,
                    fmt::format("emulated device {} reduces in its own memory only: copy there first", device_->index));
    return enqueue([this, destination, source, elements, type, op, bytes, from = **from]() -> Result<void> {
        device_->reducer(destination, source, elements, type, op);
        pass_transfer(from, device_->index, bytes);
        return {};
    });
}

Result<void> EmulatedStream::record(device::Event& event) {
    const auto state = dynamic_cast<EmulatedEvent&>(event).state();
    const std::uint32_t recorded = ++state->recorded;
    return enqueue([this, state, recorded]() -> Result<void> {
        state->time_ns(recorded) = time_ns_;
        state->reached.store(recorded, std::memory_order_release);
        os::futex_wake(state->reached);
        return {};
    });
}

Result<void> EmulatedStream::wait(const device::Event& event) {
    const auto state = dynamic_cast<const EmulatedEvent&>(event).state();
    const std::uint32_t awaited = state->recorded.load();
    if (awaited == 0)
        return fail(Status::invalid_usage,
                    fmt::format("a stream of emulated device {} is to wait for an event that was "
                                "never recorded: record it first",
                                device_->index));
    return enqueue([this, state, awaited]() -> Result<void> {
        for (;;) {
            const std::uint32_t reached = state->reached.load(std::memory_order_acquire);
            if (reached >= awaited) break;
            if (is_abandoned_) return std::unexpected(abandoned());
            os::futex_wait(state->reached, reached, look_again_us);
        }
        time_ns_ = std::max(time_ns_, state->time_ns(awaited).load());
        return {};
    });
}

Result<void> EmulatedStream::record(device::Notify& notify) {
    const auto& target = dynamic_cast<EmulatedNotify&>(notify);
    return enqueue([this, device = target.device(), number = target.number()]() -> Result<void> {
        Machine& machine = *device_->machine;
        if (machine.record_notify(device, number, time_ns_ + machine.link(device_->index, device).latency_ns))
            return {};
        return fail(Status::device_error,
                    fmt::format("notify {} of emulated device {} was recorded by device {} before "
                                "the signal before it was waited for: a signal is lost",
                                number, device, device_->index));
    });
}

Result<void> EmulatedStream::wait(device::Notify& notify) {
    const auto& target = dynamic_cast<EmulatedNotify&>(notify);
    if (target.device() != device_->index || target.is_imported())
        return fail(Status::invalid_argument, fmt::format("notify {} of emulated device {} is not one that device {} "
                                                          "created: a notify is waited for where it was created",
                                                          target.number(), target.device(), device_->index));
    return enqueue([this, number = target.number()]() -> Result<void> {
        for (;;) {
            if (const auto time_ns = device_->machine->take_notify(device_->index, number, look_again_us)) {
                time_ns_ = std::max(time_ns_, *time_ns);
                return {};
            }
            if (is_abandoned_) return std::unexpected(abandoned());
        }
    });
}

Result<bool> EmulatedStream::idle() {
    const std::scoped_lock held{mutex_};
    if (error_) return std::unexpected(*error_);
    return tasks_.empty() && !is_running_;
}

Result<void> EmulatedStream::synchronize(std::uint64_t timeout_ms) {
    std::unique_lock held{mutex_};
    const bool is_done = changed_.wait_for(held, std::chrono::milliseconds{timeout_ms},
                                           [this] { return error_ || (tasks_.empty() && !is_running_); });
    if (error_) return std::unexpected(*error_);
    if (is_done) return {};
    return fail(Status::timeout,
                fmt::format("a stream of emulated device {} is not done after {} ms, {} operations are "
                            "left: a peer may not have come",
                            device_->index, timeout_ms, tasks_.size() + (is_running_ ? 1 : 0)));
}

Result<void> EmulatedStream::abandon(std::uint64_t timeout_ms) {
    std::unique_lock held{mutex_};
    is_abandoned_ = true;
    const bool is_done = changed_.wait_for(held, std::chrono::milliseconds{timeout_ms},
                                           [this] { return tasks_.empty() && !is_running_; });
    if (!error_) error_ = abandoned();
    if (is_done) return {};
    return fail(Status::timeout,
                fmt::format("a stream of emulated device {} still runs after {} ms", device_->index, timeout_ms));
}

}  // namespace tenon::emulated
