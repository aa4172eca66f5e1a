// An emulated machine: devices of host memory, joined by links that are only numbers. What all processes see of it lies
// in one shared memory file: the devices' memory, who has what of it, what is shared, notifies, and when links are
// busy.
//
// Made by one process; others get its file (across a fork, or passed through a socket) and attach. It ends with the
// last of them. What a process had that died is taken back once somebody needs it.
//
// Thread-safe, and safe between processes. Addresses differ between processes; offsets do not.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "os/memory.hpp"
#include "tenon/plugin/device.hpp"

namespace tenon::emulated {

struct MachineDescription {
    std::vector<std::uint32_t> server_of{};  // of each device
    std::vector<device::Link> links{};       // one way, from * devices + to; to itself: its memory
    device::Link host_link{device::LinkClass::host, 25'000'000'000, 1'000};
    ByteCount memory{64 << 20};         // of each device
    std::uint32_t notify_limit = 8192;  // of each device
    std::uint64_t task_ns = 2'000;      // what each enqueued operation costs
    bool reduces_from_peers = false;

    // So many devices of one server, each joined to each by `link`.
    static MachineDescription uniform(std::uint32_t devices, const device::Link& link);
    // One server of a CloudMatrix384: 8 accelerators of two dies; the figures are those that were measured per die.
    static MachineDescription cloud_matrix_server();
};

class Machine {
public:
    static Result<std::shared_ptr<Machine>> create(const MachineDescription& description);
    static Result<std::shared_ptr<Machine>> attach(const os::FileDescriptor& file);
    ~Machine();
    const os::FileDescriptor& file() const { return file_; }

    std::uint32_t device_count() const;
    ByteCount memory_of_each() const;
    std::uint32_t notify_limit() const;
    std::uint64_t task_ns() const;
    bool reduces_from_peers() const;
    device::Link link(device::DeviceIndex from, device::DeviceIndex to) const;
    device::Link host_link() const;

    Result<std::byte*> allocate(device::DeviceIndex device, ByteCount bytes, device::Reach reach);
    void release(device::DeviceIndex device, std::byte* address);
    // Whose memory it is; nothing for the host's. All of the bytes lie in it, allocated or not.
    std::optional<device::DeviceIndex> owner_of(const void* address, std::uint64_t bytes) const;
    // Whether all of them are allocated.
    bool is_allocated(device::DeviceIndex device, const void* address, std::uint64_t bytes) const;

    struct Imported {
        device::DeviceIndex device = 0;
        std::uint32_t entry = 0;
        std::uint32_t number = 0;      // of a notify
        std::byte* address = nullptr;  // of memory
        ByteCount bytes{};
    };
    Result<device::Key> share(device::DeviceIndex device, const void* address, ByteCount bytes,
                              std::span<const device::ProcessNumber> importers);
    // These processes may import it, too; only of what was shared with some by name.
    Result<void> allow(const device::Key& key, std::span<const device::ProcessNumber> importers);
    Result<void> unshare(const device::Key& key);  // an error while somebody has it imported
    Result<Imported> import_memory(const device::Key& key, device::DeviceIndex importer);
    void close_import(const Imported& imported);

    Result<std::uint32_t> create_notify(device::DeviceIndex device);
    void destroy_notify(device::DeviceIndex device, std::uint32_t number);
    Result<device::Key> share_notify(device::DeviceIndex device, std::uint32_t number,
                                     std::span<const device::ProcessNumber> importers);
    Result<Imported> import_notify(const device::Key& key, device::DeviceIndex importer);
    // False where it was recorded and not yet waited for: the signal is lost.
    bool record_notify(device::DeviceIndex device, std::uint32_t number, std::uint64_t time_ns);
    // The virtual time at which it was recorded, once it has been; it is reset then. Nothing where it was not within
    // `most_us`.
    std::optional<std::uint64_t> take_notify(device::DeviceIndex device, std::uint32_t number, std::uint64_t most_us);

    // When a transfer that may begin at `earliest_ns` ends, without the link's latency.
    std::uint64_t transfer(device::DeviceIndex from, device::DeviceIndex to, std::uint64_t bytes,
                           std::uint64_t earliest_ns);
    std::uint64_t transfer_with_host(device::DeviceIndex device, std::uint64_t bytes, std::uint64_t earliest_ns);

    // For tests: after so many more operations of its streams, whoever's they are, the device fails; a stream's next
    // operation is an error then.
    void fail_after(device::DeviceIndex device, std::uint64_t operations);
    bool has_failed(device::DeviceIndex device) const;
    // Called by streams before each operation; false once the device has failed.
    bool begin_operation(device::DeviceIndex device);

    // For tests: how much is allocated, shared, imported and in use of all devices. Nothing is left behind when it is
    // as before.
    struct Usage {
        std::uint64_t allocations = 0, shares = 0, imports = 0, notifies = 0;
        friend bool operator==(const Usage&, const Usage&) = default;
    };
    Usage usage() const;

private:
    struct Header;
    struct Bank;   // what is known of one device
    struct Share;  // of memory or a notify
    Machine(os::FileDescriptor file, os::Mapping mapping);
    static std::uint64_t file_bytes(const MachineDescription& description);
    void lay_out(const MachineDescription& description);
    Header& header() const;
    Bank& bank(device::DeviceIndex device) const;
    std::byte* memory(device::DeviceIndex device) const;
    void forget_dead_processes(Bank& bank) const;
    Result<Share*> find(const device::Key& key, bool of_notify) const;
    Result<std::uint32_t> add_share(device::DeviceIndex device, const Share& share,
                                    std::span<const device::ProcessNumber> importers) const;
    Result<Imported> import(const device::Key& key, bool of_notify, device::DeviceIndex importer);
    device::Key key_of(device::DeviceIndex device, std::uint32_t entry, std::uint64_t id) const;

    os::FileDescriptor file_;
    os::Mapping mapping_;
};

}  // namespace tenon::emulated
