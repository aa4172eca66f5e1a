// Making an emulated machine, attaching to one, and its memory; sharing is in machine_sharing.cpp.
#include "transports/device_link/emulated/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <new>

#include "base/assert.hpp"
#include "os/process.hpp"
#include "transports/device_link/emulated/machine_layout.hpp"

namespace tenon::emulated {
namespace {

constexpr std::uint64_t layout_number = 0x74656e6f6e656d32;  // another for each change of the layout
constexpr std::uint64_t allocation_unit = 512;

std::uint64_t rounded_up(std::uint64_t bytes, std::uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

bool is_gone(device::ProcessNumber process) {
    const auto watched = os::watch_process(process);
    return watched ? os::has_ended(*watched) : watched.error().status == Status::remote_error;
}

}  // namespace

MachineDescription MachineDescription::uniform(std::uint32_t devices, const device::Link& link) {
    MachineDescription made;
    made.server_of.assign(devices, 0);
    made.links.assign(std::size_t{devices} * devices, link);
    for (std::uint32_t d = 0; d < devices; d++)
        made.links[std::size_t{d} * devices + d] = {device::LinkClass::same, 1'600'000'000'000, 0};
    return made;
}

MachineDescription MachineDescription::cloud_matrix_server() {
    constexpr std::uint32_t dies = 16;
    MachineDescription made = uniform(dies, {device::LinkClass::server, 170'000'000'000, 700});
    for (std::uint32_t d = 0; d < dies; d++)
        made.links[d * dies + (d ^ 1)] = {device::LinkClass::package, 210'000'000'000, 200};
    made.host_link = {device::LinkClass::host, 25'000'000'000, 2'000};
    return made;
}

std::uint64_t Machine::file_bytes(const MachineDescription& description) {
    const std::uint64_t devices = description.server_of.size();
    const std::uint64_t bank = rounded_up(sizeof(Bank) + description.notify_limit * sizeof(NotifyState), 64);
    const std::uint64_t known =
        rounded_up(sizeof(Header), 64) + rounded_up(devices * devices * sizeof(LinkState), 64) + devices * bank;
    return rounded_up(known, os::page_bytes()) + devices * rounded_up(description.memory.value, os::page_bytes());
}

Result<std::shared_ptr<Machine>> Machine::create(const MachineDescription& description) {
    const std::size_t devices = description.server_of.size();
    TENON_ASSERT(devices > 0 && description.links.size() == devices * devices, "each device has a link to each");
    const ByteCount bytes{file_bytes(description)};
    auto file = os::create_shared_memory("tenon emulated devices", bytes);
    if (!file) return std::unexpected(file.error());
    auto mapping = os::Mapping::shared(*file, bytes);
    if (!mapping) return std::unexpected(mapping.error());
    std::shared_ptr<Machine> made{new Machine{std::move(*file), std::move(*mapping)}};
    made->lay_out(description);
    if (auto random = os::fill_random(std::as_writable_bytes(std::span{&made->header().id, 1})); !random)
        return std::unexpected(random.error());
    return made;
}

Result<std::shared_ptr<Machine>> Machine::attach(const os::FileDescriptor& file) {
    auto own = file.duplicate();
    if (!own) return std::unexpected(own.error());
    const auto bytes = os::shared_memory_bytes(*own);
    if (!bytes) return std::unexpected(bytes.error());
    if (bytes->value < sizeof(Header))
        return fail(Status::invalid_argument, "this file is no emulated machine: pass the one of Machine::file()");
    auto mapping = os::Mapping::shared(*own, *bytes);
    if (!mapping) return std::unexpected(mapping.error());
    std::shared_ptr<Machine> attached{new Machine{std::move(*own), std::move(*mapping)}};
    if (attached->header().layout != layout_number || attached->header().file_bytes != bytes->value)
        return fail(Status::mismatch, "the emulated machine was made by another version of Tenon: use one version");
    return attached;
}

Machine::Machine(os::FileDescriptor file, os::Mapping mapping) : file_{std::move(file)}, mapping_{std::move(mapping)} {}
Machine::~Machine() = default;

void Machine::lay_out(const MachineDescription& description) {
    const auto devices = static_cast<std::uint32_t>(description.server_of.size());
    Header& made = *new (mapping_.data()) Header;
    made.layout = layout_number;
    made.device_count = devices;
    made.notify_limit = description.notify_limit;
    made.memory_bytes = rounded_up(description.memory.value, os::page_bytes());
    made.task_ns = description.task_ns;
    made.reduces_from_peers = description.reduces_from_peers;
    made.host_link = description.host_link;
    made.file_bytes = file_bytes(description);
    made.links_at = rounded_up(sizeof(Header), 64);
    made.banks_at = made.links_at + rounded_up(std::uint64_t{devices} * devices * sizeof(LinkState), 64);
    made.bank_bytes = rounded_up(sizeof(Bank) + description.notify_limit * sizeof(NotifyState), 64);
    made.memory_at = made.file_bytes - devices * made.memory_bytes;
    auto* const links = reinterpret_cast<LinkState*>(mapping_.data() + made.links_at);
    for (std::size_t i = 0; i < description.links.size(); i++) new (links + i) LinkState{.link = description.links[i]};
    for (std::uint32_t d = 0; d < devices; d++) bank(d).server = description.server_of[d];
}

Machine::Header& Machine::header() const { return *reinterpret_cast<Header*>(mapping_.data()); }
// Never constructed: a bank of zeros is an empty one, and memory that nobody touches costs nothing.
Machine::Bank& Machine::bank(device::DeviceIndex device) const {
    return *reinterpret_cast<Bank*>(mapping_.data() + header().banks_at + device * header().bank_bytes);
}
std::byte* Machine::memory(device::DeviceIndex device) const {
    return mapping_.data() + header().memory_at + device * header().memory_bytes;
}
std::uint32_t Machine::device_count() const { return header().device_count; }
ByteCount Machine::memory_of_each() const { return {header().memory_bytes}; }
std::uint32_t Machine::notify_limit() const { return header().notify_limit; }
std::uint64_t Machine::task_ns() const { return header().task_ns; }
bool Machine::reduces_from_peers() const { return header().reduces_from_peers; }
device::Link Machine::host_link() const { return header().host_link; }

namespace {
std::uint64_t duration_ns(std::uint64_t bytes, const device::Link& link) {
    if (link.bytes_per_second == 0) return 0;
    constexpr double ns_per_second = 1e9;
    return static_cast<std::uint64_t>(static_cast<double>(bytes) / static_cast<double>(link.bytes_per_second) *
                                      ns_per_second);
}
}  // namespace

device::Link Machine::link(device::DeviceIndex from, device::DeviceIndex to) const {
    return reinterpret_cast<LinkState*>(mapping_.data() + header().links_at)[from * device_count() + to].link;
}

std::uint64_t Machine::transfer(device::DeviceIndex from, device::DeviceIndex to, std::uint64_t bytes,
                                std::uint64_t earliest_ns) {
    LinkState& over = reinterpret_cast<LinkState*>(mapping_.data() + header().links_at)[from * device_count() + to];
    const std::uint64_t lasts = duration_ns(bytes, over.link);
    return over.timeline.reserve(earliest_ns, lasts) + lasts;
}

std::uint64_t Machine::transfer_with_host(device::DeviceIndex device, std::uint64_t bytes, std::uint64_t earliest_ns) {
    const std::uint64_t lasts = duration_ns(bytes, host_link());
    return bank(device).to_host.reserve(earliest_ns, lasts) + lasts;
}

Result<std::byte*> Machine::allocate(device::DeviceIndex device, ByteCount bytes, device::Reach reach) {
    Bank& of = bank(device);
    const std::uint64_t wanted = rounded_up(std::max<std::uint64_t>(bytes.value, 1), allocation_unit);
    const std::scoped_lock held{of.lock};
    for (bool is_second_try = false;; is_second_try = true) {
        std::uint64_t offset = 0;
        std::uint32_t at = 0;
        while (at < of.allocation_count && of.allocations[at].offset - offset < wanted) {
            offset = of.allocations[at].offset + of.allocations[at].bytes;
            at++;
        }
        const bool fits = wanted <= header().memory_bytes && offset <= header().memory_bytes - wanted;
        if (fits && of.allocation_count < of.allocations.size()) {
            std::move_backward(of.allocations.begin() + at, of.allocations.begin() + of.allocation_count,
                               of.allocations.begin() + of.allocation_count + 1);
            of.allocations[at] = {offset, wanted, os::process_id(), reach};
            of.allocation_count++;
            return memory(device) + offset;
        }
        if (is_second_try) break;
        forget_dead_processes(of);
    }
    return fail(Status::device_error,
                fmt::format("emulated device {} has no {} bytes left of its {}, or {} allocations: free memory first",
                            device, bytes.value, header().memory_bytes, of.allocations.size()));
}

void Machine::release(device::DeviceIndex device, std::byte* address) {
    Bank& of = bank(device);
    const auto offset = static_cast<std::uint64_t>(address - memory(device));
    const std::scoped_lock held{of.lock};
    const auto end = of.allocations.begin() + of.allocation_count;
    const auto at = std::find_if(of.allocations.begin(), end, [&](const auto& a) { return a.offset == offset; });
    TENON_ASSERT(at != end, "only what was allocated is released");
    std::move(at + 1, end, at);
    of.allocation_count--;
}

std::optional<device::DeviceIndex> Machine::owner_of(const void* address, std::uint64_t bytes) const {
    const auto* const at = static_cast<const std::byte*>(address);
    const std::byte* const first = memory(0);
    const std::byte* const end = first + device_count() * header().memory_bytes;
    if (at < first || at >= end) return std::nullopt;
    const auto offset = static_cast<std::uint64_t>(at - first);
    if (offset % header().memory_bytes + bytes > header().memory_bytes) return std::nullopt;
    return static_cast<device::DeviceIndex>(offset / header().memory_bytes);
}

bool Machine::is_allocated(device::DeviceIndex device, const void* address, std::uint64_t bytes) const {
    Bank& of = bank(device);
    const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(address) - memory(device));
    const std::scoped_lock held{of.lock};
    const auto end = of.allocations.begin() + of.allocation_count;
    return std::any_of(of.allocations.begin(), end,
                       [&](const Allocation& a) { return a.offset <= offset && offset + bytes <= a.offset + a.bytes; });
}

// Called with the bank's lock held.
void Machine::forget_dead_processes(Bank& of) const {
    const auto end = std::remove_if(of.allocations.begin(), of.allocations.begin() + of.allocation_count,
                                    [](const Allocation& a) { return is_gone(a.owner); });
    of.allocation_count = static_cast<std::uint32_t>(end - of.allocations.begin());
    for (std::uint32_t i = 0; i < of.share_count; i++) {
        Share& share = of.shares[i];
        if (share.id != 0 && is_gone(share.owner)) share = {};
        for (ImportRecord& import : share.imports)
            if (import.count != 0 && is_gone(import.process)) import = {};
    }
    for (std::uint32_t n = 0; n < notify_limit(); n++) {
        NotifyState& notify = of.notifies()[n];
        if (notify.owner != 0 && is_gone(notify.owner)) notify.owner = 0;
    }
}

void Machine::fail_after(device::DeviceIndex device, std::uint64_t operations) {
    bank(device).until_failure.store(operations + 1);
}

bool Machine::has_failed(device::DeviceIndex device) const { return bank(device).until_failure.load() == 1; }

bool Machine::begin_operation(device::DeviceIndex device) {
    std::atomic<std::uint64_t>& left = bank(device).until_failure;
    std::uint64_t before = left.load(std::memory_order_relaxed);
    while (before > 1)
        if (left.compare_exchange_weak(before, before - 1)) return true;
    return before == 0;
}

Machine::Usage Machine::usage() const {
    Usage sum;
    for (device::DeviceIndex d = 0; d < device_count(); d++) {
        Bank& of = bank(d);
        const std::scoped_lock held{of.lock};
        sum.allocations += of.allocation_count;
        for (std::uint32_t i = 0; i < of.share_count; i++) {
            sum.shares += of.shares[i].id != 0 ? 1 : 0;
            for (const ImportRecord& import : of.shares[i].imports) sum.imports += import.count;
        }
        for (std::uint32_t n = 0; n < notify_limit(); n++) sum.notifies += of.notifies()[n].owner != 0 ? 1 : 0;
    }
    return sum;
}

}  // namespace tenon::emulated
