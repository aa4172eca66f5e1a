#include "transports/ucx/ucx_memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace tenon::ucx {

void MappedMemory::Unmap::operator()(ucp_mem_h memory) const {
    static_cast<void>(ucp_mem_unmap(context.get(), memory));
}

Result<MappedMemory> map_memory(const Context& context, std::span<std::byte> range) {
    const auto refused = [&](std::string_view why) {
        return fail(Status::system_error,
                    fmt::format("UCX cannot register {} bytes of memory for its peers' puts: {}", range.size(), why));
    };
    ucp_mem_map_params_t wanted{};
    wanted.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
    wanted.address = range.data();
    wanted.length = range.size();
    ucp_mem_h mapped = nullptr;
    if (const auto s = ucp_mem_map(context.get(), &wanted, &mapped); s != UCS_OK) return refused(ucs_status_string(s));
    MappedMemory made{.mapped{mapped, {context}}, .key{}};
    void* key = nullptr;
    std::size_t key_bytes = 0;
    if (const auto s = ucp_rkey_pack(context.get(), mapped, &key, &key_bytes); s != UCS_OK)
        return refused(ucs_status_string(s));
    const auto* first = static_cast<const std::byte*>(key);
    made.key.assign(first, first + key_bytes);
    ucp_rkey_buffer_release(key);
    if (sizeof(WireKey) + key_bytes > packed_bytes)
        return refused(fmt::format("its key has {} bytes; name fewer devices in UCX_NET_DEVICES", key_bytes));
    return made;
}

ToldKeys::Named ToldKeys::name_of(const InUse& memory) {
    told_.resize(most_keys);
    Told* place = &told_.front();
    for (Told& told : told_) {
        const bool is_this = !told.memory.owner_before(memory) && !memory.owner_before(told.memory);
        if (is_this) {
            told.last_used = ++uses_;
            return {{static_cast<std::uint32_t>(&told - told_.data()), told.generation}};
        }
        if (told.last_used < place->last_used) place = &told;
    }
    *place = {memory, ++generation_, ++uses_};
    return {{static_cast<std::uint32_t>(place - told_.data()), generation_}, true};
}

// UCX reads a packed key as far as the key itself says, at most so many bytes: what is no key ends among zeros.
Result<void> PeerKeys::take(std::span<const std::byte> note, ucp_ep_h endpoint) {
    constexpr std::size_t longest_key = 2 * sizeof(std::uint64_t) + 64 * 256;
    const auto refused = [](std::string_view what) {
        return fail(Status::remote_error, fmt::format("it sent what breaks the protocol: {}", what));
    };
    WireKey head;
    if (note.size() <= sizeof head || note.size() > packed_bytes) return refused("a part of a key, or more than one");
    std::memcpy(&head, note.data(), sizeof head);
    if (head.name.index >= most_keys || head.bytes == 0 || head.first > UINT64_MAX - head.bytes)
        return refused("a key of no name, or of no memory");
    known_.resize(most_keys);
    Known& known = known_[head.name.index];
    if (head.name.generation <= known.head.name.generation) return {};  // others have overtaken it
    std::vector<std::byte> packed(longest_key);
    std::ranges::copy(note.subspan(sizeof head), packed.begin());
    ucp_rkey_h key = nullptr;
    if (const auto s = ucp_ep_rkey_unpack(endpoint, packed.data(), &key); s != UCS_OK)
        return refused(fmt::format("a key that UCX cannot use ({})", ucs_status_string(s)));
    known = {head, Key{key, ucp_rkey_destroy}};
    return {};
}

std::string_view PeerKeys::wrong_with(const Offer& offer) const {
    if (offer.key.index >= most_keys) return "an offer whose key has no name";
    if (known_.empty()) return "";
    const Known& known = known_[offer.key.index];
    const bool is_outside = known.head.name.generation == offer.key.generation && !known.covers(offer);
    return is_outside ? "an offer outside of the memory that its key is of" : "";
}

PeerKeys::Key PeerKeys::find(const Offer& offer) const {
    if (known_.empty()) return nullptr;
    const Known& known = known_[offer.key.index];
    return known.head.name.generation == offer.key.generation && known.covers(offer) ? known.key : nullptr;
}

}  // namespace tenon::ucx
