// What processes share of an emulated machine: memory and notifies, by keys. The rules are the hardware's: whitelists
// of processes, keys that reach only their own server, importers that close first.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "os/futex.hpp"
#include "os/process.hpp"
#include "transports/device_link/emulated/machine_layout.hpp"

namespace tenon::emulated {
namespace {

struct KeyContent {
    std::uint64_t machine = 0, id = 0;
    device::DeviceIndex device = 0;
    std::uint32_t entry = 0;
};

KeyContent content_of(const device::Key& key) {
    KeyContent content;
    std::memcpy(&content, key.bytes.data(), sizeof content);
    return content;
}

}  // namespace

device::Key Machine::key_of(device::DeviceIndex device, std::uint32_t entry, std::uint64_t id) const {
    const KeyContent content{header().id, id, device, entry};
    device::Key key;
    std::memcpy(key.bytes.data(), &content, sizeof content);
    return key;
}

// Called with the bank's lock held.
Result<std::uint32_t> Machine::add_share(device::DeviceIndex device, const Share& share,
                                         std::span<const device::ProcessNumber> importers) const {
    if (importers.size() > importer_limit)
        return fail(
            Status::invalid_argument,
            fmt::format("emulated device {}: {} processes are to import, at most {} can be named: name none, so "
                        "that whoever has the key may",
                        device, importers.size(), importer_limit));
    Bank& of = bank(device);
    for (bool is_second_try = false;; is_second_try = true) {
        for (std::uint32_t i = 0; i < of.shares.size(); i++) {
            if (of.shares[i].id != 0) continue;
            of.share_count = std::max(of.share_count, i + 1);
            of.shares[i] = share;
            of.shares[i].id = ++of.last_id;
            of.shares[i].owner = os::process_id();
            of.shares[i].allowed_count = static_cast<std::uint32_t>(importers.size());
            std::copy(importers.begin(), importers.end(), of.shares[i].allowed.begin());
            return i;
        }
        if (is_second_try) break;
        forget_dead_processes(of);
    }
    return fail(Status::device_error,
                fmt::format("emulated device {} shares {} things already: close some first", device, of.shares.size()));
}

Result<device::Key> Machine::share(device::DeviceIndex device, const void* address, ByteCount bytes,
                                   std::span<const device::ProcessNumber> importers) {
    Bank& of = bank(device);
    const auto offset = static_cast<std::uint64_t>(static_cast<const std::byte*>(address) - memory(device));
    const std::scoped_lock held{of.lock};
    const auto end = of.allocations.begin() + of.allocation_count;
    const auto allocation = std::find_if(of.allocations.begin(), end, [&](const Allocation& a) {
        return a.offset <= offset && bytes.value <= a.bytes && offset - a.offset <= a.bytes - bytes.value;
    });
    if (allocation == end)
        return fail(Status::invalid_argument,
                    fmt::format("emulated device {} has not allocated these {} bytes: share memory of the device, "
                                "within one allocation",
                                device, bytes.value));
    const auto entry =
        add_share(device, {.reach = allocation->reach, .offset = offset, .bytes = bytes.value}, importers);
    if (!entry) return std::unexpected(entry.error());
    return key_of(device, *entry, of.shares[*entry].id);
}

Result<device::Key> Machine::share_notify(device::DeviceIndex device, std::uint32_t number,
                                          std::span<const device::ProcessNumber> importers) {
    Bank& of = bank(device);
    const std::scoped_lock held{of.lock};
    const auto entry =
        add_share(device, {.is_notify = true, .reach = device::Reach::supernode, .offset = number}, importers);
    if (!entry) return std::unexpected(entry.error());
    return key_of(device, *entry, of.shares[*entry].id);
}

// Called with the bank's lock held, except for what the key itself says.
Result<Machine::Share*> Machine::find(const device::Key& key, bool of_notify) const {
    const KeyContent content = content_of(key);
    const Share& share = bank(content.device).shares[content.entry];
    if (share.id != content.id || share.is_notify != of_notify)
        return fail(Status::invalid_argument,
                    fmt::format("emulated device {} shares nothing (any more) under this key: import before the "
                                "exporter closes",
                                content.device));
    return &bank(content.device).shares[content.entry];
}

Result<Machine::Imported> Machine::import(const device::Key& key, bool of_notify, device::DeviceIndex importer) {
    const KeyContent content = content_of(key);
    if (content.machine != header().id || content.device >= device_count() ||
        content.entry >= bank(content.device).shares.size())
        return fail(Status::invalid_argument, "this key is not one of this emulated machine: import keys as they came");
    Bank& of = bank(content.device);
    const std::scoped_lock held{of.lock};
    const auto share = find(key, of_notify);
    if (!share) return std::unexpected(share.error());
    const device::ProcessNumber self = os::process_id();
    const auto allowed_end = (*share)->allowed.begin() + (*share)->allowed_count;
    const bool is_allowed = (*share)->allowed_count == 0 || self == (*share)->owner ||
                            std::find((*share)->allowed.begin(), allowed_end, self) != allowed_end;
    if (!is_allowed)
        return fail(Status::device_error, fmt::format("process {} may not import what process {} shares of emulated "
                                                      "device {}: the exporter must name it among the importers",
                                                      self, (*share)->owner, content.device));
    if ((*share)->reach == device::Reach::server && of.server != bank(importer).server)
        return fail(Status::device_error,
                    fmt::format("emulated device {} is on server {}, and device {} shares on server {} only: allocate "
                                "with Reach::supernode",
                                importer, bank(importer).server, content.device, of.server));
    const auto record = std::find_if((*share)->imports.begin(), (*share)->imports.end(),
                                     [&](const ImportRecord& r) { return r.count == 0 || r.process == self; });
    if (record == (*share)->imports.end())
        return fail(Status::device_error, fmt::format("{} processes have imported this of emulated device {} already",
                                                      importer_limit, content.device));
    record->process = self;
    record->count++;
    Imported imported{.device = content.device, .entry = content.entry};
    if (of_notify) {
        imported.number = static_cast<std::uint32_t>((*share)->offset);
    } else {
        imported.address = memory(content.device) + (*share)->offset;
        imported.bytes = {(*share)->bytes};
    }
    return imported;
}

Result<Machine::Imported> Machine::import_memory(const device::Key& key, device::DeviceIndex importer) {
    return import(key, false, importer);
}

Result<Machine::Imported> Machine::import_notify(const device::Key& key, device::DeviceIndex importer) {
    return import(key, true, importer);
}

Result<void> Machine::allow(const device::Key& key, std::span<const device::ProcessNumber> importers) {
    const KeyContent content = content_of(key);
    Share& share = bank(content.device).shares[content.entry];
    const std::scoped_lock held{bank(content.device).lock};
    if (share.id != content.id || share.allowed_count == 0 ||
        importers.size() > importer_limit - share.allowed_count)
        return fail(Status::invalid_argument,
                    fmt::format("emulated device {} shares nothing under this key that is for some processes only, or "
                                "those are more than {}",
                                content.device, importer_limit));
    std::copy(importers.begin(), importers.end(), share.allowed.begin() + share.allowed_count);
    share.allowed_count += static_cast<std::uint32_t>(importers.size());
    return {};
}

void Machine::close_import(const Imported& imported) {
    Bank& of = bank(imported.device);
    const std::scoped_lock held{of.lock};
    for (ImportRecord& record : of.shares[imported.entry].imports)
        if (record.process == os::process_id() && record.count > 0) {
            record.count--;
            return;
        }
}

Result<void> Machine::unshare(const device::Key& key) {
    const KeyContent content = content_of(key);
    Bank& of = bank(content.device);
    const std::scoped_lock held{of.lock};
    Share& share = of.shares[content.entry];
    if (share.id != content.id) return {};
    const auto is_held = [](const ImportRecord& r) { return r.count != 0; };
    if (std::any_of(share.imports.begin(), share.imports.end(), is_held)) forget_dead_processes(of);
    if (const auto held_by = std::find_if(share.imports.begin(), share.imports.end(), is_held);
        held_by != share.imports.end())
        return fail(Status::invalid_usage, fmt::format("process {} still has imported what emulated device {} shares: "
                                                       "importers close before the exporter does",
                                                       held_by->process, content.device));
    share = {};
    return {};
}

Result<std::uint32_t> Machine::create_notify(device::DeviceIndex device) {
    Bank& of = bank(device);
    const std::scoped_lock held{of.lock};
    for (bool is_second_try = false;; is_second_try = true) {
        for (std::uint32_t n = 0; n < notify_limit(); n++) {
            NotifyState& notify = of.notifies()[n];
            if (notify.owner != 0) continue;
            notify.owner = os::process_id();
            notify.is_set.store(0, std::memory_order_relaxed);
            return n;
        }
        if (is_second_try) break;
        forget_dead_processes(of);
    }
    return fail(Status::device_error,
                fmt::format("emulated device {} has no notify left of its {}: destroy some, or use "
                            "fewer channels",
                            device, notify_limit()));
}

void Machine::destroy_notify(device::DeviceIndex device, std::uint32_t number) {
    Bank& of = bank(device);
    const std::scoped_lock held{of.lock};
    for (std::uint32_t i = 0; i < of.share_count; i++)
        if (of.shares[i].id != 0 && of.shares[i].is_notify && of.shares[i].offset == number) of.shares[i] = {};
    of.notifies()[number].owner = 0;
}

bool Machine::record_notify(device::DeviceIndex device, std::uint32_t number, std::uint64_t time_ns) {
    NotifyState& notify = bank(device).notifies()[number];
    if (notify.is_set.load(std::memory_order_acquire) != 0) return false;
    notify.time_ns = time_ns;
    notify.is_set.store(1, std::memory_order_release);
    os::futex_wake(notify.is_set);
    return true;
}

std::optional<std::uint64_t> Machine::take_notify(device::DeviceIndex device, std::uint32_t number,
                                                  std::uint64_t most_us) {
    NotifyState& notify = bank(device).notifies()[number];
    if (notify.is_set.load(std::memory_order_acquire) == 0) os::futex_wait(notify.is_set, 0, most_us);
    if (notify.is_set.load(std::memory_order_acquire) == 0) return std::nullopt;
    const std::uint64_t time_ns = notify.time_ns;
    notify.is_set.store(0, std::memory_order_release);
    return time_ns;
}

}  // namespace tenon::emulated
