// Streams, events and notifies of a GPU.
#pragma once

#include <optional>
#include <set>

#include "transports/device_link/cuda/context.hpp"

namespace tenon::cuda {

// How a key of this provider is laid out. Devices are named by their place on the bus, since each process counts those
// that it sees.
struct CudaKey {
    std::array<char, 8> kind{};
    std::uint64_t process_high = 0, process_low = 0;
    std::array<char, 32> bus_id{};
    IpcHandle handle{};
    Address address = 0;                  // in the process that shares it
    std::uint64_t offset = 0, bytes = 0;  // within the block that the handle names
};
device::Key key_of(const CudaKey& content);
// An error unless the key is of this provider and of this kind.
Result<CudaKey> content_of(const device::Key& key, std::string_view kind);
inline constexpr std::string_view memory_key = "cudaMem", notify_key = "cudaNtf";
// Of any bytes on the device.
Result<CudaKey> describe(const Context& context, Address address, std::uint64_t bytes, std::string_view kind);

// Memory that a key names, mapped into this process while it lives.
class OpenedKey {
public:
    static Result<std::unique_ptr<OpenedKey>> open(std::shared_ptr<Context> context, const CudaKey& key);
    ~OpenedKey();
    OpenedKey(const OpenedKey&) = delete;
    OpenedKey& operator=(const OpenedKey&) = delete;
    Address address() const { return address_; }

private:
    OpenedKey(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    std::shared_ptr<Context> context_;
    Address mapped_ = 0;  // 0: of this process, nothing to close
    Address address_ = 0;
};

class CudaNotify final : public device::Notify {
public:
    static Result<std::unique_ptr<device::Notify>> create(std::shared_ptr<Context> context);
    static Result<std::unique_ptr<device::Notify>> import(std::shared_ptr<Context> context, const device::Key& key);
    ~CudaNotify() override;
    Result<device::Key> share(std::span<const device::ProcessNumber> importers) override;
    Address address() const { return address_; }
    bool is_of(const Context& context) const { return opened_ == nullptr && context_.get() == &context; }

private:
    explicit CudaNotify(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    std::shared_ptr<Context> context_;
    std::unique_ptr<OpenedKey> opened_;  // of an imported one
    std::uint32_t number_ = 0;
    Address address_ = 0;
};

class CudaEvent final : public device::Event {
public:
    static Result<std::unique_ptr<device::Event>> create(std::shared_ptr<Context> context);
    ~CudaEvent() override;
    Result<bool> reached() const override;
    Result<std::uint64_t> ns_since(const device::Event& earlier) const override;

private:
    friend class CudaStream;
    explicit CudaEvent(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    std::shared_ptr<Context> context_;
    EventHandle event_ = nullptr;
    bool is_recorded_ = false;
};

class CudaStream final : public device::Stream {
public:
    static Result<std::unique_ptr<device::Stream>> create(std::shared_ptr<Context> context);
    static Result<std::unique_ptr<device::Stream>> adopt(std::shared_ptr<Context> context, StreamHandle native);
    ~CudaStream() override;

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
    explicit CudaStream(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    // The stream's error, or the driver's.
    Result<void> begin() const;
    Result<void> done(Code code, const char* call);

    std::shared_ptr<Context> context_;
    StreamHandle stream_ = nullptr;
    bool is_adopted_ = false;
    std::optional<Error> error_;
    std::set<Address> awaited_;  // words that this stream may be waiting for
};

}  // namespace tenon::cuda
