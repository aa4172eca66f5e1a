#include "transports/device_link/emulated/provider.hpp"

#include <fmt/format.h>

#include "base/assert.hpp"
#include "os/process.hpp"
#include "transports/device_link/emulated/stream.hpp"

namespace tenon::emulated {
namespace {

class EmulatedMemory final : public device::Memory {
public:
    EmulatedMemory(std::shared_ptr<DeviceState> device, std::byte* data, ByteCount bytes)
        : device_{std::move(device)}, data_{data}, bytes_{bytes} {}
    ~EmulatedMemory() override { device_->machine->release(device_->index, data_); }
    std::byte* data() const override { return data_; }
    ByteCount bytes() const override { return bytes_; }

private:
    std::shared_ptr<DeviceState> device_;
    std::byte* data_;
    ByteCount bytes_;
};

class EmulatedShare final : public device::SharedMemory {
public:
    EmulatedShare(std::shared_ptr<Machine> machine, const device::Key& key) : machine_{std::move(machine)}, key_{key} {}
    ~EmulatedShare() override { [[maybe_unused]] const auto closed = close(); }
    const device::Key& key() const override { return key_; }
    Result<void> close() override { return machine_->unshare(key_); }

private:
    std::shared_ptr<Machine> machine_;
    device::Key key_;
};

class EmulatedImport final : public device::ImportedMemory {
public:
    EmulatedImport(std::shared_ptr<Machine> machine, const Machine::Imported& imported)
        : machine_{std::move(machine)}, imported_{imported} {}
    ~EmulatedImport() override { machine_->close_import(imported_); }
    std::byte* data() const override { return imported_.address; }
    ByteCount bytes() const override { return imported_.bytes; }

private:
    std::shared_ptr<Machine> machine_;
    Machine::Imported imported_;
};

// All of them are threads; what is said is what this is tested with.
constexpr std::uint32_t independent_streams = 64;

device::DeviceFacts facts_of(const Machine& machine) {
    return {.name = "emulated",
            .address = {},
            .memory = machine.memory_of_each(),
            .notify_limit = machine.notify_limit(),
            .independent_streams = independent_streams,
            .reduces_from_peers = machine.reduces_from_peers()};
}

class EmulatedDevice final : public device::Device {
public:
    explicit EmulatedDevice(std::shared_ptr<DeviceState> state)
        : state_{std::move(state)}, facts_{facts_of(*state_->machine)} {}

    device::DeviceIndex index() const override { return state_->index; }
    const device::DeviceFacts& facts() const override { return facts_; }

    Result<std::unique_ptr<device::Memory>> allocate(const device::AllocationRequest& request) override {
        const auto data = state_->machine->allocate(state_->index, request.bytes, request.reach);
        if (!data) return std::unexpected(data.error());
        return std::make_unique<EmulatedMemory>(state_, *data, request.bytes);
    }
    Result<std::unique_ptr<device::SharedMemory>> share(void* address, ByteCount bytes,
                                                        std::span<const device::ProcessNumber> importers) override {
        if (state_->machine->owner_of(address, bytes.value) != state_->index)
            return fail(Status::invalid_argument, fmt::format("this is not memory of emulated device {}: only a "
                                                              "device's own memory is shared",
                                                              state_->index));
        const auto key = state_->machine->share(state_->index, address, bytes, importers);
        if (!key) return std::unexpected(key.error());
        return std::make_unique<EmulatedShare>(state_->machine, *key);
    }
    Result<std::unique_ptr<device::ImportedMemory>> import_memory(const device::Key& key) override {
        const auto imported = state_->machine->import_memory(key, state_->index);
        if (!imported) return std::unexpected(imported.error());
        auto made = std::make_unique<EmulatedImport>(state_->machine, *imported);
        if ((state_->peers.load() >> imported->device & 1) == 0)
            return fail(Status::device_error,
                        fmt::format("emulated device {} does not reach the memory of device {}: call enable_peer({}) "
                                    "first",
                                    state_->index, imported->device, imported->device));
        return made;
    }
    Result<device::Location> locate(const void* address) const override {
        const auto owner = state_->machine->owner_of(address, 1);
        if (!owner) return device::Location{};
        return device::Location{device::MemoryKind::device, *owner};
    }
    Result<std::unique_ptr<device::Stream>> create_stream() override { return EmulatedStream::create(state_); }
    Result<std::unique_ptr<device::Stream>> adopt_stream(void*) override {
        return fail(Status::invalid_usage, "emulated devices have no runtime that makes streams: create one instead");
    }
    Result<std::unique_ptr<device::Event>> create_event() override { return std::make_unique<EmulatedEvent>(); }
    Result<std::unique_ptr<device::Notify>> create_notify() override { return EmulatedNotify::create(state_); }
    Result<std::unique_ptr<device::Notify>> import_notify(const device::Key& key) override {
        return EmulatedNotify::import(state_, key);
    }
    Result<void> enable_peer(device::DeviceIndex peer) override {
        if (peer >= state_->machine->device_count())
            return fail(Status::invalid_argument, fmt::format("there is no emulated device {}: they are 0 to {}", peer,
                                                              state_->machine->device_count() - 1));
        if (state_->machine->link(state_->index, peer).link_class == device::LinkClass::none)
            return fail(Status::device_error,
                        fmt::format("emulated devices {} and {} do not reach each other's memory: no link joins them",
                                    state_->index, peer));
        state_->peers |= std::uint64_t{1} << peer;
        return {};
    }
    bool can_reduce(DataType, ReduceOp op) const override { return op != ReduceOp::avg; }

private:
    std::shared_ptr<DeviceState> state_;
    device::DeviceFacts facts_;
};

class EmulatedProvider final : public device::Provider {
public:
    EmulatedProvider(std::shared_ptr<Machine> machine, Reducer reducer)
        : machine_{std::move(machine)}, reducer_{reducer} {}

    std::string_view name() const override { return "emulated"; }
    device::DeviceIndex device_count() const override { return machine_->device_count(); }
    Result<device::DeviceFacts> facts(device::DeviceIndex device) const override {
        if (auto there = check(device); !there) return std::unexpected(there.error());
        return facts_of(*machine_);
    }
    Result<device::Link> link(device::DeviceIndex from, device::DeviceIndex to) const override {
        if (auto there = check(std::max(from, to)); !there) return std::unexpected(there.error());
        return machine_->link(from, to);
    }
    Result<std::unique_ptr<device::Device>> open(device::DeviceIndex device) override {
        if (auto there = check(device); !there) return std::unexpected(there.error());
        auto state = std::make_shared<DeviceState>();
        state->machine = machine_;
        state->index = device;
        state->reducer = reducer_;
        state->peers = std::uint64_t{1} << device;
        return std::make_unique<EmulatedDevice>(std::move(state));
    }
    device::ProcessNumber process() const override { return os::process_id(); }

private:
    Result<void> check(device::DeviceIndex device) const {
        if (device < machine_->device_count()) return {};
        return fail(Status::invalid_argument, fmt::format("there is no emulated device {}: they are 0 to {}", device,
                                                          machine_->device_count() - 1));
    }
    std::shared_ptr<Machine> machine_;
    Reducer reducer_;
};

}  // namespace

std::unique_ptr<device::Provider> make_provider(std::shared_ptr<Machine> machine, Reducer reducer) {
    TENON_ASSERT(machine->device_count() <= 64, "peers that a device reaches are bits of one word");
    return std::make_unique<EmulatedProvider>(std::move(machine), reducer);
}

}  // namespace tenon::emulated
