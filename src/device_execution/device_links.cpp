#include "device_execution/device_links.hpp"

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t slot_unit = 4096;

void append(std::vector<std::byte>& to, const device::Key& key) {
    to.insert(to.end(), key.bytes.begin(), key.bytes.end());
}

device::Key key_at(std::span<const std::byte> from, std::size_t number) {
    device::Key key;
    std::memcpy(key.bytes.data(), from.data() + number * sizeof key.bytes, sizeof key.bytes);
    return key;
}

// Of the keys that a rank offers: its memory's, then two for each slot.
std::size_t arrived_key(std::size_t slot_number) { return 1 + 2 * slot_number; }
std::size_t free_key(std::size_t slot_number) { return 2 + 2 * slot_number; }

}  // namespace

DeviceLinks::DeviceLinks(device::Device& device, Rank rank, Rank rank_count, const DeviceLinkOptions& options)
    : device_{device}, rank_{rank}, rank_count_{rank_count}, options_{options} {
    const std::size_t ends = static_cast<std::size_t>(rank_count - 1) * all_channels();
    const std::uint64_t each = options.most_slot_bytes.value / std::max<std::size_t>(ends * slots_per_channel, 1);
    options_.slot.value = std::max(std::min(options.slot.value, each) / slot_unit, std::uint64_t{1}) * slot_unit;
    imported_.resize(static_cast<std::size_t>(rank_count));
    send_ends_.resize(ends);
    receive_ends_.resize(ends);
}

Result<std::unique_ptr<DeviceLinks>> DeviceLinks::make(device::Device& device, Rank rank, Rank rank_count,
                                                       const DeviceLinkOptions& options,
                                                       const DeviceIntroductions& introduce) {
    TENON_ASSERT(options.channels > 0, "ranks are joined by at least one channel");
    std::unique_ptr<DeviceLinks> made{new DeviceLinks{device, rank, rank_count, options}};
    if (rank_count == 1) return made;
    auto offered = made->offer();
    if (!offered) return std::unexpected(offered.error());
    const auto all = introduce(*offered);
    if (!all) return std::unexpected(all.error());
    for (Rank peer = 0; peer < rank_count; peer++)
        if (peer != rank)
            if (auto imported = made->import(peer, (*all)[static_cast<std::size_t>(peer)]); !imported)
                return std::unexpected(imported.error());
    return made;
}

// Also marks all of the peers' slots free: nobody has written yet.
Result<std::vector<std::byte>> DeviceLinks::offer() {
    const std::size_t slots = receive_ends_.size() * slots_per_channel;
    auto memory = device_.allocate({.bytes = {slots * options_.slot.value}, .reach = options_.reach});
    if (!memory) return std::unexpected(memory.error());
    memory_ = std::move(*memory);
    auto shared = device_.share(memory_->data(), memory_->bytes(), {});
    if (!shared) return std::unexpected(shared.error());
    shared_ = std::move(*shared);
    auto stream = device_.create_stream();
    if (!stream) return std::unexpected(stream.error());

    std::vector<std::byte> keys;
    keys.reserve((1 + 2 * slots) * sizeof(device::Key::bytes));
    append(keys, shared_->key());
    for (std::size_t number = 0; number < slots; number++) {
        const std::size_t end = number / slots_per_channel, slot = number % slots_per_channel;
        receive_ends_[end].slots[slot] = memory_->data() + number * options_.slot.value;
        for (auto* const notify : {&receive_ends_[end].arrived[slot], &send_ends_[end].free[slot]}) {
            auto created = device_.create_notify();
            if (!created) return std::unexpected(created.error());
            *notify = std::move(*created);
            const auto key = (*notify)->share({});
            if (!key) return std::unexpected(key.error());
            append(keys, *key);
        }
        if (auto set = (*stream)->record(*send_ends_[end].free[slot]); !set) return std::unexpected(set.error());
    }
    if (auto done = (*stream)->synchronize(options_.timeout_ms); !done) return std::unexpected(done.error());
    return keys;
}

Result<void> DeviceLinks::import(Rank peer, std::span<const std::byte> offered) {
    TENON_ASSERT(offered.size() == (1 + 2 * receive_ends_.size() * slots_per_channel) * sizeof(device::Key::bytes),
                 "all ranks of a communicator have equally many channels");
    auto memory = device_.import_memory(key_at(offered, 0));
    if (!memory) return std::unexpected(memory.error());
    std::unique_ptr<device::ImportedMemory>& theirs = imported_[static_cast<std::size_t>(peer)];
    theirs = std::move(*memory);
    for (Channel channel = 0; channel < all_channels(); channel++)
        for (std::size_t slot = 0; slot < slots_per_channel; slot++) {
            // As the peer counts: what it has for this rank.
            const std::size_t number = place_of(peer, rank_, channel) * slots_per_channel + slot;
            send_end(peer, channel).slots[slot] = theirs->data() + number * options_.slot.value;
            auto arrived = device_.import_notify(key_at(offered, arrived_key(number)));
            if (!arrived) return std::unexpected(arrived.error());
            send_end(peer, channel).arrived[slot] = std::move(*arrived);
            auto free = device_.import_notify(key_at(offered, free_key(number)));
            if (!free) return std::unexpected(free.error());
            receive_end(peer, channel).free[slot] = std::move(*free);
        }
    return {};
}

Result<void> DeviceLinks::close(const DeviceIntroductions& introduce) {
    if (rank_count_ == 1) return {};
    drop_imports();
    if (auto all_have = introduce({}); !all_have) return std::unexpected(all_have.error());
    return close_own();
}

void DeviceLinks::drop_imports() {
    for (SendEnd& end : send_ends_)
        for (auto& arrived : end.arrived) arrived.reset();
    for (ReceiveEnd& end : receive_ends_)
        for (auto& free : end.free) free.reset();
    for (auto& imported : imported_) imported.reset();
}

Result<void> DeviceLinks::close_own() {
    if (shared_ == nullptr) return {};
    return shared_->close();
}

}  // namespace tenon
