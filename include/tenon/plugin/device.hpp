// Accelerators: devices, their memory and its sharing between processes, and streams of work on them.
//
// What a vendor's runtime (ACL, the CUDA driver) offers, and no more than collectives need. To support another
// accelerator, implement the eight classes below; transports/device_link/README.md shows how.
//
//   auto device = provider.open(0);                        // Result<std::unique_ptr<Device>>
//   auto memory = (*device)->allocate({.bytes = {1 << 20}});
//   auto stream = (*device)->create_stream();
//   (*stream)->copy((*memory)->data(), host_bytes, {4096});  // enqueued; the host goes on
//   (*stream)->synchronize(deadline);
//
// Streams. Each operation is enqueued and runs when all earlier ones of its stream are done; no call but synchronize()
// and abandon() waits. Memory that an enqueued operation touches stays until it has run. Once an operation fails, the
// stream does nothing more: what is enqueued later and synchronize() return that error.
// Order between streams comes from events (of one process) and notifies (of any). What a stream wrote before it records
// one, whoever waits for it sees, also on another device or in another process.
//
// Notifies. One bit, which belongs to the device that waits for it and resets itself as it is waited for, so that the
// same operations can be enqueued again. One stream at a time waits for a notify. Whoever records it again before it
// was waited for loses a signal; plans never do. Devices have few (8,192 on Ascend), so reuse them.
//
// Sharing. Memory and notifies are shared by a Key, bytes that travel as the caller likes. Importers close before the
// exporter does. In the process that shares it a key gives the same memory.
//
// Errors: device_error with the runtime's name and number for what it says, invalid_argument for what does not belong
// to the device, timeout from deadlines. Objects live no longer than the Device that made them, devices no longer than
// their Provider. Any thread may call; a stream, event or notify is used by one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "tenon/plugin/types.hpp"

namespace tenon::device {

using DeviceIndex = std::uint32_t;  // as the provider counts them
using ProcessNumber = std::int32_t;

// What joins two devices, from near to far.
enum class LinkClass : std::uint8_t {
    same,       // one device: its own memory
    package,    // the dies of one accelerator (SIO)
    server,     // HCCS, NVLink
    supernode,  // UB, NVLink across servers
    host,       // through the host's memory or PCIe
    none,       // they do not reach each other's memory
};
std::string_view name_of(LinkClass link_class);

struct Link {
    LinkClass link_class = LinkClass::none;
    std::uint64_t bytes_per_second = 0;  // one way; 0: the runtime does not say
    std::uint64_t latency_ns = 0;        // 0: the runtime does not say
};

// Where a device is, by numbers that mean the same in the whole cluster; -1: the runtime does not say.
struct DevicePlace {
    std::int64_t supernode = -1;
    std::int64_t server = -1;  // in its supernode
    std::int64_t chip = -1;    // in its server; dies of one accelerator have one
};
// What joins devices of which no provider sees both: of two servers, say. none where a place is not known.
LinkClass link_between(const DevicePlace& one, const DevicePlace& other);

struct DeviceFacts {
    std::string name;
    std::string address;  // on the host's bus, as hwloc writes it; empty where it has none
    DevicePlace place{};
    ByteCount memory{};
    std::uint32_t notify_limit = 0;
    // Streams of a process that run whatever others wait for; of more, one may hold up another (a GPU's work queues).
    std::uint32_t independent_streams = 0;
    // Whether allocating or freeing its memory may wait for all that a process runs on it (CUDA): then two ranks of one
    // process cannot share it, as one may wait for the other.
    bool memory_waits_for_streams = false;
    // Whether a copy with the host's memory may wait, within the call, for all that is before it in the stream.
    bool host_copies_wait = false;
    // Whether reduce() may read its source in another device's memory (CUDA), or only in its own (ACL).
    bool reduces_from_peers = false;
};

struct Key {
    std::array<std::byte, 192> bytes{};
    friend bool operator==(const Key&, const Key&) = default;
};

// How far a key reaches.
enum class Reach : std::uint8_t { server, supernode };

struct AllocationRequest {
    ByteCount bytes{};
    Reach reach = Reach::server;  // runtimes allocate what is to be shared further in another way
};

// Memory of a device; freed when it dies.
class Memory {
public:
    virtual ~Memory() = default;
    virtual std::byte* data() const = 0;  // an address on the device, not for the host to follow
    virtual ByteCount bytes() const = 0;
};

// A range of memory that others may import. It ends with close() or its death.
class SharedMemory {
public:
    virtual ~SharedMemory() = default;
    virtual const Key& key() const = 0;
    // An error, and still open, while an importer has not closed, where the runtime knows.
    virtual Result<void> close() = 0;
};

// Another process's or device's memory, at an address that this device's streams reach. Closed when it dies.
class ImportedMemory {
public:
    virtual ~ImportedMemory() = default;
    virtual std::byte* data() const = 0;
    virtual ByteCount bytes() const = 0;
};

class Notify {
public:
    virtual ~Notify() = default;
    // Whoever gets it may import the notify and record it. An error for an imported one.
    virtual Result<Key> share(std::span<const ProcessNumber> importers) = 0;
};

class Event {
public:
    virtual ~Event() = default;
    virtual Result<bool> reached() const = 0;  // by the stream that recorded it last
    // Between the two, as the device's clock counts; the emulated devices' clock is virtual.
    virtual Result<std::uint64_t> ns_since(const Event& earlier) const = 0;
};

class Stream {
public:
    // What is unfinished is abandoned.
    virtual ~Stream() = default;

    // Between memory of this device, imported memory and the host's.
    virtual Result<void> copy(void* destination, const void* source, ByteCount bytes) = 0;
    // destination[i] = destination[i] op source[i], both in this device's memory (but see reduces_from_peers). Narrow
    // floats are added in float32 and rounded.
    virtual Result<void> reduce(void* destination, const void* source, ElementCount elements, DataType type,
                                ReduceOp op) = 0;
    virtual Result<void> record(Event& event) = 0;
    virtual Result<void> wait(const Event& event) = 0;  // as it was recorded last; an error if it never was
    virtual Result<void> record(Notify& notify) = 0;
    virtual Result<void> wait(Notify& notify) = 0;  // of this stream's device

    virtual Result<bool> idle() = 0;  // all done; the stream's error once it has one
    // Waits until all is done. A timeout leaves the stream as it is.
    virtual Result<void> synchronize(std::uint64_t timeout_ms) = 0;
    // Ends every wait and gives up what is unfinished, so that memory can be freed though a peer has died. The stream
    // is of no use afterwards; what it would have written may hold anything.
    virtual Result<void> abandon(std::uint64_t timeout_ms) = 0;
};

enum class MemoryKind : std::uint8_t { host, device };

struct Location {
    MemoryKind kind = MemoryKind::host;
    DeviceIndex device = 0;  // whose memory it is
};

class Device {
public:
    virtual ~Device() = default;
    virtual DeviceIndex index() const = 0;
    virtual const DeviceFacts& facts() const = 0;

    virtual Result<std::unique_ptr<Memory>> allocate(const AllocationRequest& request) = 0;
    // Memory of this device, whoever allocated it. `importers`: who may; empty: whoever has the key.
    virtual Result<std::unique_ptr<SharedMemory>> share(void* address, ByteCount bytes,
                                                        std::span<const ProcessNumber> importers) = 0;
    virtual Result<std::unique_ptr<ImportedMemory>> import_memory(const Key& key) = 0;
    virtual Result<Location> locate(const void* address) const = 0;

    virtual Result<std::unique_ptr<Stream>> create_stream() = 0;
    // One that the program has made on this device with the vendor's runtime: it stays the program's, who keeps it for
    // as long. After abandon(), only this object is of no use.
    virtual Result<std::unique_ptr<Stream>> adopt_stream(void* native) = 0;
    virtual Result<std::unique_ptr<Event>> create_event() = 0;
    virtual Result<std::unique_ptr<Notify>> create_notify() = 0;
    virtual Result<std::unique_ptr<Notify>> import_notify(const Key& key) = 0;
    // What import_memory() of that device's memory needs, where both are in one process or server.
    virtual Result<void> enable_peer(DeviceIndex peer) = 0;
    virtual bool can_reduce(DataType type, ReduceOp op) const = 0;
};

class Provider {
public:
    virtual ~Provider() = default;
    virtual std::string_view name() const = 0;
    virtual DeviceIndex device_count() const = 0;
    virtual Result<DeviceFacts> facts(DeviceIndex device) const = 0;
    virtual Result<Link> link(DeviceIndex from, DeviceIndex to) const = 0;
    virtual Result<std::unique_ptr<Device>> open(DeviceIndex device) = 0;
    // This process, as whitelists of importers name it.
    virtual ProcessNumber process() const = 0;
    // What the runtime has as this thread's device (its current context); null for none, or where it cannot be told or
    // restored. All calls of a provider may change it.
    virtual void* current() const { return nullptr; }
    virtual void make_current(void*) const {}
};

}  // namespace tenon::device
