#include "transports/device_link/cuda/provider.hpp"

#include <fmt/format.h>

#include "transports/device_link/cuda/kernels.hpp"
#include "transports/device_link/cuda/stream.hpp"

namespace tenon::cuda {
namespace {

// Of a context, unless CUDA_DEVICE_MAX_CONNECTIONS says another number.
constexpr std::uint32_t work_queues = 8;

class CudaMemory final : public device::Memory {
public:
    CudaMemory(std::shared_ptr<Context> context, Address address, ByteCount bytes)
        : context_{std::move(context)}, address_{address}, bytes_{bytes} {}
    ~CudaMemory() override { context_->release(address_); }
    std::byte* data() const override { return reinterpret_cast<std::byte*>(address_); }
    ByteCount bytes() const override { return bytes_; }

private:
    std::shared_ptr<Context> context_;
    Address address_;
    ByteCount bytes_;
};

class CudaShare final : public device::SharedMemory {
public:
    explicit CudaShare(const device::Key& key) : key_{key} {}
    const device::Key& key() const override { return key_; }
    Result<void> close() override { return {}; }

private:
    device::Key key_;
};

class CudaImport final : public device::ImportedMemory {
public:
    CudaImport(std::unique_ptr<OpenedKey> opened, ByteCount bytes) : opened_{std::move(opened)}, bytes_{bytes} {}
    std::byte* data() const override { return reinterpret_cast<std::byte*>(opened_->address()); }
    ByteCount bytes() const override { return bytes_; }

private:
    std::unique_ptr<OpenedKey> opened_;
    ByteCount bytes_;
};

class CudaDevice final : public device::Device {
public:
    CudaDevice(std::shared_ptr<Context> context, device::DeviceFacts facts)
        : context_{std::move(context)}, facts_{std::move(facts)} {}

    device::DeviceIndex index() const override { return context_->index(); }
    const device::DeviceFacts& facts() const override { return facts_; }

    Result<std::unique_ptr<device::Memory>> allocate(const device::AllocationRequest& request) override {
        if (request.reach == device::Reach::supernode)
            return fail(Status::invalid_argument,
                        fmt::format("GPU {}: memory is shared within a server only", context_->index()));
        const auto address = context_->allocate(request.bytes.value);
        if (!address) return std::unexpected(address.error());
        return std::make_unique<CudaMemory>(context_, *address, request.bytes);
    }
    Result<std::unique_ptr<device::SharedMemory>> share(void* address, ByteCount bytes,
                                                        std::span<const device::ProcessNumber>) override {
        if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
        if (auto own = context_->expect_own_memory(address, "what is to be shared"); !own)
            return std::unexpected(own.error());
        const auto described = describe(*context_, reinterpret_cast<Address>(address), bytes.value, memory_key);
        if (!described) return std::unexpected(described.error());
        return std::make_unique<CudaShare>(key_of(*described));
    }
    Result<std::unique_ptr<device::ImportedMemory>> import_memory(const device::Key& key) override {
        const auto content = content_of(key, memory_key);
        if (!content) return std::unexpected(content.error());
        auto opened = OpenedKey::open(context_, *content);
        if (!opened) return std::unexpected(opened.error());
        return std::make_unique<CudaImport>(std::move(*opened), ByteCount{content->bytes});
    }
    Result<device::Location> locate(const void* address) const override {
        if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
        unsigned type = 0;
        int owner = 0;
        const auto at = reinterpret_cast<Address>(address);
        CudaApi& api = context_->api();
        // The driver knows nothing of the host's ordinary memory.
        const bool is_on_device =
            api.pointer_attribute(&type, PointerAttribute::memory_type, at) == success && type == memory_type_device;
        if (!is_on_device) return device::Location{};
        if (auto r = context_->check(api.pointer_attribute(&owner, PointerAttribute::device_number, at),
                                     "cuPointerGetAttribute");
            !r)
            return std::unexpected(r.error());
        return device::Location{device::MemoryKind::device, static_cast<device::DeviceIndex>(owner)};
    }

    Result<std::unique_ptr<device::Stream>> create_stream() override { return CudaStream::create(context_); }
    Result<std::unique_ptr<device::Stream>> adopt_stream(void* native) override {
        return CudaStream::adopt(context_, static_cast<StreamHandle>(native));
    }
    Result<std::unique_ptr<device::Event>> create_event() override { return CudaEvent::create(context_); }
    Result<std::unique_ptr<device::Notify>> create_notify() override { return CudaNotify::create(context_); }
    Result<std::unique_ptr<device::Notify>> import_notify(const device::Key& key) override {
        return CudaNotify::import(context_, key);
    }
    Result<void> enable_peer(device::DeviceIndex peer) override;
    bool can_reduce(DataType type, ReduceOp op) const override { return has_kernel(type, op); }

private:
    std::shared_ptr<Context> context_;
    device::DeviceFacts facts_;
    std::vector<std::shared_ptr<void>> peers_;  // their contexts stay as long as they may be reached
};

// A peer's primary context, kept.
class PeerContext {
public:
    PeerContext(std::shared_ptr<Context> own, DeviceNumber peer) : own_{std::move(own)}, peer_{peer} {}
    ~PeerContext() { own_->api().release_primary_context(peer_); }
    PeerContext(const PeerContext&) = delete;
    PeerContext& operator=(const PeerContext&) = delete;

private:
    std::shared_ptr<Context> own_;
    DeviceNumber peer_;
};

Result<void> CudaDevice::enable_peer(device::DeviceIndex peer) {
    if (peer == context_->index()) return {};
    CudaApi& api = context_->api();
    DeviceNumber number = 0;
    int can = 0;
    if (auto r = context_->check(api.device(&number, static_cast<int>(peer)), "cuDeviceGet"); !r) return r;
    if (auto r = context_->check(api.can_access_peer(&can, context_->number(), number), "cuDeviceCanAccessPeer"); !r)
        return r;
    if (can == 0)
        return fail(Status::device_error,
                    fmt::format("GPUs {} and {} do not reach each other's memory: no NVLink joins "
                                "them, and their PCIe does not either",
                                context_->index(), peer));
    ContextHandle theirs = nullptr;
    if (auto r = context_->check(api.retain_primary_context(&theirs, number), "cuDevicePrimaryCtxRetain"); !r) return r;
    peers_.push_back(std::make_shared<PeerContext>(context_, number));
    if (auto entered = context_->enter(); !entered) return entered;
    const Code code = api.enable_peer_access(theirs);
    if (code == peer_access_already_enabled) return {};
    return context_->check(code, "cuCtxEnablePeerAccess");
}

class CudaProvider final : public device::Provider {
public:
    CudaProvider(std::shared_ptr<CudaApi> api, os::ProcessToken self, int count)
        : api_{std::move(api)}, self_{self}, count_{count} {}

    std::string_view name() const override { return "cuda"; }
    device::DeviceIndex device_count() const override { return static_cast<device::DeviceIndex>(count_); }
    device::ProcessNumber process() const override { return os::process_id(); }
    void* current() const override {
        ContextHandle context = nullptr;
        return api_->get_current(&context) == success ? context : nullptr;
    }
    void make_current(void* context) const override { api_->make_current(context); }

    Result<device::DeviceFacts> facts(device::DeviceIndex device) const override {
        auto number = number_of(device);
        if (!number) return std::unexpected(number.error());
        std::array<char, 128> name{};
        std::array<char, 32> bus_id{};
        std::size_t bytes = 0;
        if (api_->device_name(name.data(), static_cast<int>(name.size()), *number) != success ||
            api_->device_bus_id(bus_id.data(), static_cast<int>(bus_id.size()), *number) != success ||
            api_->device_memory(&bytes, *number) != success)
            return fail(Status::device_error,
                        fmt::format("the driver does not describe GPU {}: nvidia-smi may say why", device));
        return device::DeviceFacts{.name = name.data(),
                                   .address = bus_id.data(),
                                   .memory = {bytes},
                                   .notify_limit = notify_limit,
                                   .independent_streams = work_queues,
                                   .memory_waits_for_streams = true,
                                   .host_copies_wait = true,
                                   .reduces_from_peers = true};
    }
    Result<device::Link> link(device::DeviceIndex from, device::DeviceIndex to) const override {
        const auto one = number_of(from), other = number_of(to);
        if (!one) return std::unexpected(one.error());
        if (!other) return std::unexpected(other.error());
        if (from == to) return device::Link{.link_class = device::LinkClass::same};
        int can = 0, has_atomics = 0;
        if (api_->can_access_peer(&can, *one, *other) != success || can == 0) return device::Link{};
        // Only NVLink has them.
        const Code code = api_->peer_attribute(&has_atomics, PeerAttribute::native_atomics_supported, *one, *other);
        const bool is_nvlink = code == success && has_atomics != 0;
        return device::Link{.link_class = is_nvlink ? device::LinkClass::server : device::LinkClass::host};
    }
    Result<std::unique_ptr<device::Device>> open(device::DeviceIndex device) override {
        auto known = facts(device);
        if (!known) return std::unexpected(known.error());
        auto context = Context::open(api_, static_cast<int>(device), self_);
        if (!context) return std::unexpected(context.error());
        return std::make_unique<CudaDevice>(std::move(*context), std::move(*known));
    }

private:
    Result<DeviceNumber> number_of(device::DeviceIndex device) const {
        DeviceNumber number = 0;
        if (device < device_count() && api_->device(&number, static_cast<int>(device)) == success) return number;
        return fail(Status::invalid_argument, fmt::format("there is no GPU {}: {} are seen here (CUDA_VISIBLE_DEVICES "
                                                          "hides others)",
                                                          device, count_));
    }
    std::shared_ptr<CudaApi> api_;
    os::ProcessToken self_;
    int count_;
};

}  // namespace

Result<std::unique_ptr<device::Provider>> make_provider(std::unique_ptr<CudaApi> api, os::ProcessToken self) {
    const char* name = nullptr;
    if (const Code code = api->init(); code != success) {
        if (api->error_name(code, &name) != success || name == nullptr) name = "an error";
        return fail(Status::device_error,
                    fmt::format("cuInit gave {} ({}): there is no GPU that this process may use", name, code));
    }
    constexpr int oldest_driver = 12'000;
    int version = 0, count = 0;
    if (api->driver_version(&version) != success || version < oldest_driver)
        return fail(Status::device_error,
                    fmt::format("the NVIDIA driver supports CUDA {}.{}: Tenon needs one for 12.0 or "
                                "newer",
                                version / 1000, version % 1000 / 10));
    if (api->device_count(&count) != success || count == 0)
        return fail(Status::device_error, "the NVIDIA driver sees no GPU: CUDA_VISIBLE_DEVICES may hide it");
    return std::make_unique<CudaProvider>(std::move(api), self, count);
}

}  // namespace tenon::cuda
