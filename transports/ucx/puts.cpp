// Messages that are put into memory which their receiver has registered and offered.
//
// The receiver tells an offer beforehand, and the key of the memory behind it where the peer does not know that yet.
// Who knows the offer when it sends puts the message there (ucp_put_nbx) and flushes the endpoint: UCX says of a put
// that is done only that the sender's memory is its own again, and orders no active message behind it. When both are
// done, the bytes are in the peer's memory, and the head follows.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/log.hpp"
#include "transports/ucx/ucx_connection.hpp"

namespace tenon::ucx {
namespace {

// Of notes that come before this end is open; what is beyond that is dropped, and its messages are not put.
constexpr std::size_t most_early_notes = 256;

}  // namespace

void UcxConnection::begin_puts() {
    if (puts_.choice == UcxPuts::never) return;
    put_lane_ = put_lane_in(endpoint_in_words(endpoint_));
    has_puts_ = puts_.choice == UcxPuts::always || !put_lane_.empty();
    if (has_puts_)
        log(LogLevel::info, "rank {} puts large messages into memory that rank {} on {} has registered, {}",
            ends_.own, ends_.peer, ends_.peer_host, put_lane_.empty() ? "as UCX emulates it" : "by " + put_lane_);
    for (const EarlyNote& note : std::exchange(early_notes_, {})) take_note(note.head, note.bytes);
}

void UcxConnection::forget_keys() {
    peer_keys_.clear();
    for (Slot& slot : slots_) slot.key.reset();
}

// ---- leaving ------------------------------------------------------------------------------------------------------

void UcxConnection::tell_offers() {
    for (Mirror* const m : mirrors())
        if (m->has_offers()) tell_offers(*m);
}

// As many as fit into a note, as often as there are slots for one, and for the key of one.
void UcxConnection::tell_offers(Mirror& mirror) {
    while (mirror.has_offers() && std::popcount(free_slots_) > 1 && endpoint_status_ == UCS_OK) {
        const unsigned slot = take_slot({});
        const std::size_t length = incoming_[mirror.channel()].told.fill(
            slots_[slot].room, mirror, [this](const auto& offered) { return memory_to_tell(offered); },
            [this](const InUse& memory) { return told_keys_.name_of(memory).name; });
        if (length == 0) {
            free_slots_ |= std::uint64_t{1} << slot;
            return;
        }
        send_note(Note::offers, mirror.channel(), slot, length);
    }
}

// Where an offer lies, once its key has been sent; null where it cannot be put there, or the key not be sent now.
InUse UcxConnection::memory_to_tell(const Mirror::Offered& offered) {
    if (offered.length < put_min_bytes) return nullptr;
    InUse memory = puts_.registrations->find(offered.address, offered.length);
    if (memory == nullptr || free_slots_ == 0) return nullptr;
    const auto [name, is_new] = told_keys_.name_of(memory);
    if (!is_new) return memory;
    const unsigned slot = take_slot({});
    const WireKey head{name, reinterpret_cast<std::uintptr_t>(memory->range.data()), memory->range.size()};
    std::byte* const room = slots_[slot].room.data();
    std::memcpy(room, &head, sizeof head);
    std::ranges::copy(memory->handle->key, room + sizeof head);
    send_note(Note::key, 0, slot, sizeof head + memory->handle->key.size());
    return memory;
}

// Of what lies in the slot. No call waits for it.
void UcxConnection::send_note(Note note, std::uint16_t channel, unsigned index, std::size_t length) {
    Slot& slot = slots_[index];
    slot.head = {.frame = {.kind = FrameKind::credit, .channel = channel,
                           .length = static_cast<std::uint32_t>(length)},
                 .note = note};
    slot.bytes = slot.room.data();
    notices_ |= std::uint64_t{1} << index;
    send(slot, length);
}

void UcxConnection::put(Slot& slot, const Offer& offer, PeerKeys::Key key) {
    slot.head.note = Note::put;
    slot.steps = 2;
    slot.status = UCS_OK;
    slot.key = std::move(key);
    ucp_request_param_t how{};
    how.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    how.cb.send = [](void* request, ucs_status_t status, void* user) {
        Slot& done = *static_cast<Slot*>(user);
        done.connection->put_step_done(done, status);
        ucp_request_free(request);
    };
    how.user_data = &slot;
    put_step(slot, ucp_put_nbx(endpoint_, slot.bytes, offer.length, offer.address, slot.key.get(), &how));
    put_step(slot, ucp_ep_flush_nbx(endpoint_, &how));
}

void UcxConnection::put_step(Slot& slot, ucs_status_ptr_t request) {
    if (!UCS_PTR_IS_PTR(request)) put_step_done(slot, UCS_PTR_STATUS(request));
}

void UcxConnection::put_step_done(Slot& slot, ucs_status_t status) noexcept {
    if (slot.status == UCS_OK) slot.status = status;
    if (--slot.steps != 0) return;
    slot.key.reset();
    if (slot.status == UCS_OK) {
        put_ |= std::uint64_t{1} << (&slot - slots_.data());
        return;
    }
    if (failed_put_bytes_ == 0) failed_put_bytes_ = slot.head.frame.length;
    send_done(slot, slot.status);
}

void UcxConnection::send_put_heads() {
    for (std::uint64_t left = std::exchange(put_, 0); left != 0; left &= left - 1) {
        Slot& slot = slots_[static_cast<std::size_t>(std::countr_zero(left))];
        if (endpoint_status_ != UCS_OK) {
            send_done(slot, endpoint_status_);
            continue;
        }
        messages_put_++;
        send(slot, 0);
    }
}

// ---- arriving -----------------------------------------------------------------------------------------------------

void UcxConnection::take_note(const MessageHead& head, std::span<const std::byte> bytes) {
    if (puts_.choice == UcxPuts::never) return;
    if (stage_ != Stage::open) {
        if (stage_ != Stage::ended && early_notes_.size() < most_early_notes)
            early_notes_.push_back({head, {bytes.begin(), bytes.end()}});
        return;
    }
    if (!has_puts_) return;
    if (head.note == Note::key) {
        if (auto taken = peer_keys_.take(bytes, endpoint_); !taken) broken(taken.error().message);
        return;
    }
    const auto at = mirror(head.frame.channel);
    if (!at) return fail_with(at.error());
    const auto wrong = [this](const Offer& offer) { return peer_keys_.wrong_with(offer); };
    if (auto taken = incoming_[head.frame.channel].peer_offers.take(bytes, **at, wrong); !taken)
        broken(taken.error().message);
}

// The bytes are where they belong, so the peer says; that it may say so only of what it was told, the Mirror sees to.
void UcxConnection::deliver_put(Incoming& in, const FrameHead& head) {
    const auto at = mirror(head.channel);
    if (!at) return fail_with(at.error());
    if (const auto taken = (*at)->take_put(head); !taken) return broken(taken.error().message);
    in.told.over(head.number);
    in.next++;
    received_++;
}

}  // namespace tenon::ucx
