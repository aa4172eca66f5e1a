// A stream of an emulated device: a thread that runs what is enqueued, in order, and keeps the stream's virtual clock.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "transports/device_link/emulated/machine.hpp"
#include "transports/device_link/emulated/provider.hpp"

namespace tenon::emulated {

// What the streams of one device know of it. `peers`: whose memory they reach, its own included; a bit each.
struct DeviceState {
    std::shared_ptr<Machine> machine;
    device::DeviceIndex index = 0;
    Reducer reducer = nullptr;
    std::atomic<std::uint64_t> peers{0};
};

class EmulatedNotify final : public device::Notify {
public:
    static Result<std::unique_ptr<device::Notify>> create(const std::shared_ptr<DeviceState>& device);
    static Result<std::unique_ptr<device::Notify>> import(const std::shared_ptr<DeviceState>& device,
                                                          const device::Key& key);
    ~EmulatedNotify() override;
    Result<device::Key> share(std::span<const device::ProcessNumber> importers) override;
    bool is_imported() const { return imported_.has_value(); }
    device::DeviceIndex device() const { return device_; }
    std::uint32_t number() const { return number_; }

private:
    EmulatedNotify(std::shared_ptr<Machine> machine, device::DeviceIndex device, std::uint32_t number)
        : machine_{std::move(machine)}, device_{device}, number_{number} {}
    std::shared_ptr<Machine> machine_;
    device::DeviceIndex device_;
    std::uint32_t number_;
    std::optional<Machine::Imported> imported_;
};

class EmulatedEvent final : public device::Event {
public:
    // Shared with the streams that have yet to come to it.
    struct State {
        std::atomic<std::uint32_t> recorded{0}, reached{0};  // how often
        // When it was reached, for the last times: who waits may come late, when it was recorded again.
        std::array<std::atomic<std::uint64_t>, 64> times_ns{};
        std::atomic<std::uint64_t>& time_ns(std::uint32_t time) { return times_ns[time % times_ns.size()]; }
        std::uint64_t last_time_ns() { return time_ns(reached.load(std::memory_order_acquire)); }
    };
    EmulatedEvent() : state_{std::make_shared<State>()} {}
    Result<bool> reached() const override;
    Result<std::uint64_t> ns_since(const device::Event& earlier) const override;
    const std::shared_ptr<State>& state() const { return state_; }

private:
    std::shared_ptr<State> state_;
};

class EmulatedStream final : public device::Stream {
public:
    static Result<std::unique_ptr<device::Stream>> create(std::shared_ptr<DeviceState> device);
    ~EmulatedStream() override;

    Result<void> copy(void* destination, const void* source, ByteCount bytes) override;
    Result<void> reduce(void* destination, const void* source, ElementCount elements, DataType type,
                        ReduceOp op) override;
    Result<void> record(device::Event& event) override;
    Result<void> wait(const device::Event& event) override;
    Result<void> record(device::Notify& notify) override;
    Result<void> wait(device::Notify& notify) override;
    Result<bool> idle() override;
    Result<void> synchronize(std::uint64_t timeout_ms) override;
    Result<void> abandon(std::uint64_t timeout_ms) override;

private:
    using Task = std::function<Result<void>()>;
    explicit EmulatedStream(std::shared_ptr<DeviceState> device) : device_{std::move(device)} {}
    void work();
    Result<void> enqueue(Task task);
    Result<std::optional<device::DeviceIndex>> place_of(const void* address, std::uint64_t bytes) const;
    void pass_transfer(std::optional<device::DeviceIndex> from, std::optional<device::DeviceIndex> to,
                       std::uint64_t bytes);
    Result<void> failed_device() const;
    Error abandoned() const;

    std::shared_ptr<DeviceState> device_;
    std::uint64_t time_ns_ = 0;  // the worker's
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Task> tasks_;
    bool is_running_ = false, is_closing_ = false;
    std::optional<Error> error_;
    std::atomic<bool> is_abandoned_{false};
    std::thread worker_;
};

}  // namespace tenon::emulated
