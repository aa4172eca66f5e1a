#include "transports/device_link/ascend/provider.hpp"

#include <fmt/format.h>

#include <string_view>

#include "transports/device_link/ascend/sharing.hpp"
#include "transports/device_link/ascend/stream.hpp"

namespace tenon::ascend {
namespace {

// A device runs thousands of queues side by side; this many are what a plan may want.
constexpr std::uint32_t independent_streams = 64;
constexpr std::uint32_t notifies_of_a2_and_a3 = 8192, notifies_of_950 = 65535;

class AscendDevice final : public device::Device {
public:
    AscendDevice(std::shared_ptr<Context> context, device::DeviceFacts facts)
        : context_{std::move(context)}, facts_{std::move(facts)} {}

    device::DeviceIndex index() const override { return context_->index(); }
    const device::DeviceFacts& facts() const override { return facts_; }

    Result<std::unique_ptr<device::Memory>> allocate(const device::AllocationRequest& request) override {
        return request.reach == device::Reach::supernode ? SupernodeMemory::allocate(context_, request.bytes)
                                                         : ServerMemory::allocate(context_, request.bytes);
    }
    Result<std::unique_ptr<device::SharedMemory>> share(void* address, ByteCount bytes,
                                                        std::span<const device::ProcessNumber> importers) override {
        return AscendShare::share(context_, address, bytes, importers);
    }
    Result<std::unique_ptr<device::ImportedMemory>> import_memory(const device::Key& key) override {
        return AscendImport::import(context_, key);
    }
    Result<device::Location> locate(const void* address) const override {
        if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
        return context_->locate(address);
    }
    Result<std::unique_ptr<device::Stream>> create_stream() override { return AscendStream::create(context_); }
    Result<std::unique_ptr<device::Stream>> adopt_stream(void* native) override {
        return AscendStream::adopt(context_, native);
    }
    Result<std::unique_ptr<device::Event>> create_event() override { return AscendEvent::create(context_); }
    Result<std::unique_ptr<device::Notify>> create_notify() override { return AscendNotify::create(context_); }
    Result<std::unique_ptr<device::Notify>> import_notify(const device::Key& key) override {
        return AscendNotify::import(context_, key);
    }
    Result<void> enable_peer(device::DeviceIndex peer) override { return context_->enable_peer(peer); }
    bool can_reduce(DataType type, ReduceOp op) const override { return has_reduction(type, op); }

private:
    std::shared_ptr<Context> context_;
    device::DeviceFacts facts_;
};

// SIO joins the dies of one NPU; HCCS, also through a switch, those of a server.
std::optional<device::LinkClass> class_of(std::uint64_t topology) {
    if ((topology & abi::topology_sio) != 0) return device::LinkClass::package;
    if ((topology & (abi::topology_hccs | abi::topology_hccs_switch)) != 0) return device::LinkClass::server;
    constexpr std::uint64_t through_the_host =
        abi::topology_pix | abi::topology_pib | abi::topology_phb | abi::topology_sys;
    if ((topology & through_the_host) != 0) return device::LinkClass::host;
    return std::nullopt;
}

class AscendProvider final : public device::Provider {
public:
    AscendProvider(const AclLibrary& acl, os::ProcessToken self, std::uint32_t count)
        : acl_{std::make_shared<const AclLibrary>(acl)}, self_{self}, count_{count} {}

    std::string_view name() const override { return "ascend"; }
    device::DeviceIndex device_count() const override { return count_; }
    // A container's own numbers may not be those that whitelists name.
    device::ProcessNumber process() const override {
        std::int32_t process = 0;
        return acl_->get_bare_tgid(&process) == abi::success ? process : os::process_id();
    }

    Result<device::DeviceFacts> facts(device::DeviceIndex device) const override {
        if (auto there = check(device); !there) return std::unexpected(there.error());
        const char* const name = acl_->get_soc_name();
        const std::string soc = name != nullptr ? name : "Ascend NPU";
        const std::int64_t memory = attribute(device, abi::DeviceAttribute::total_memory);
        return device::DeviceFacts{
            .name = soc,
            .address = {},
            .place = {.supernode = attribute(device, abi::DeviceAttribute::supernode),
                      .server = attribute(device, abi::DeviceAttribute::supernode_server),
                      .chip = attribute(device, abi::DeviceAttribute::physical_chip)},
            .memory = {static_cast<std::uint64_t>(std::max<std::int64_t>(memory, 0))},
            .notify_limit = soc.starts_with("Ascend950") ? notifies_of_950 : notifies_of_a2_and_a3,
            .independent_streams = independent_streams,
            .host_copies_wait = true,
            .reduces_from_peers = false};
    }
    Result<device::Link> link(device::DeviceIndex from, device::DeviceIndex to) const override {
        if (auto there = check(std::max(from, to)); !there) return std::unexpected(there.error());
        if (from == to) return device::Link{.link_class = device::LinkClass::same};
        std::uint64_t topology = 0;
        const bool is_told = acl_->get_devices_topo(from, to, &topology) == abi::success;
        if (const auto known = is_told ? class_of(topology) : std::nullopt) return device::Link{.link_class = *known};
        const auto one = facts(from), other = facts(to);
        if (!one) return std::unexpected(one.error());
        if (!other) return std::unexpected(other.error());
        return device::Link{.link_class = device::link_between(one->place, other->place)};
    }
    Result<std::unique_ptr<device::Device>> open(device::DeviceIndex device) override {
        auto known = facts(device);
        if (!known) return std::unexpected(known.error());
        auto context = Context::open(acl_, device, self_);
        if (!context) return std::unexpected(context.error());
        return std::make_unique<AscendDevice>(std::move(*context), std::move(*known));
    }

private:
    // -1 where this kind of device has none.
    std::int64_t attribute(device::DeviceIndex device, abi::DeviceAttribute attribute) const {
        std::int64_t value = 0;
        return acl_->get_device_info(device, attribute, &value) == abi::success ? value : -1;
    }
    Result<void> check(device::DeviceIndex device) const {
        if (device < count_) return {};
        return fail(
            Status::invalid_argument,
            fmt::format("there is no Ascend device {}: {} are seen here (ASCEND_RT_VISIBLE_DEVICES hides others)",
                        device, count_));
    }
    std::shared_ptr<const AclLibrary> acl_;
    os::ProcessToken self_;
    std::uint32_t count_;
};

}  // namespace

Result<std::unique_ptr<device::Provider>> make_provider(const AclLibrary& acl, os::ProcessToken self) {
    std::uint32_t count = 0;
    if (const abi::Code code = acl.get_device_count(&count); code != abi::success)
        return fail(Status::device_error, fmt::format("aclrtGetDeviceCount gave {}", in_words(code)));
    if (count == 0)
        return fail(Status::device_error, "ACL sees no Ascend device: ASCEND_RT_VISIBLE_DEVICES may hide it, and "
                                          "npu-smi info shows what the driver sees");
    return std::make_unique<AscendProvider>(acl, self, count);
}

}  // namespace tenon::ascend
