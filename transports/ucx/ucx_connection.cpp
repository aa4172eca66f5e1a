#include "transports/ucx/ucx_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "transports/ucx/ucx_worker.hpp"

namespace tenon::ucx {
namespace {

// More frames of a channel cannot be under way: that many messages have room in its rings.
constexpr std::uint32_t most_ahead = packed_lines + 2 * most_slots;
// How long a rank that leaves waits for a peer that does not say that it has everything, because it is busy elsewhere
// (over TCP, UCX's flush needs the peer, too). By then the peer's host has it, as far as its system takes it.
constexpr std::uint64_t parting_patience_ms = 1000;

bool is_bulk(const FrameHead& head) { return head.kind == FrameKind::medium || head.kind == FrameKind::large; }
bool is_message(const FrameHead& head) { return head.kind == FrameKind::packed || is_bulk(head); }

// Large messages go as UCX finds best (UCX_RNDV_THRESH). Only what wants a reply makes UCX connect both ends.
std::uint32_t flags_of(const MessageHead& head) {
    const FrameHead& frame = head.frame;
    if (frame.kind == FrameKind::large && head.note == Note::frame) return 0;
    const bool is_hello = frame.kind == FrameKind::goodbye && frame.number == std::to_underlying(Notice::hello);
    return is_hello ? UCP_AM_SEND_FLAG_EAGER | UCP_AM_SEND_FLAG_REPLY : UCP_AM_SEND_FLAG_EAGER;
}

// By a device, UCX tells of a timeout when all tries have stayed unanswered; that a peer has merely ended, others have
// told long before. By sockets, it calls that a timeout, too, and at once.
bool goes_by_device(std::string_view lane) {
    return lane.starts_with("rc_") || lane.starts_with("dc_") || lane.starts_with("ud_");
}

}  // namespace

UcxConnection::UcxConnection(Ends ends, ucp_worker_h worker, Puts puts, MirrorMemory& memory,
                             std::uint64_t slots_bytes, std::function<void()> wanted)
    : MirroredConnection(memory, std::move(wanted)),
      ends_(std::move(ends)),
      worker_(worker),
      puts_(puts),
      slots_(std::clamp(slots_bytes / sizeof(Slot), least_slots, most_slots_here)),
      all_slots_(~std::uint64_t{0} >> (most_slots_here - slots_.size())),
      free_slots_(all_slots_) {
    memory.count(slots_.size() * sizeof(Slot));
    if (puts_.choice != UcxPuts::never) memory.count(ToldKeys::most_bytes + PeerKeys::most_bytes);
    for (Slot& s : slots_) s.connection = this;
}

UcxConnection::~UcxConnection() = default;

// ---- the endpoint -------------------------------------------------------------------------------------------------

Error UcxConnection::lost(std::string_view why, std::string_view advice) const {
    return {Status::remote_error, fmt::format("rank {} has lost its UCX connection to rank {} on {}: {}; {}", ends_.own,
                                              ends_.peer, ends_.peer_host, why, advice)};
}

void UcxConnection::fail_with(Error error) {
    if (!error_) error_ = std::move(error);
}

void UcxConnection::broken(std::string_view why) {
    fail_with(lost(why, "look whether all ranks run the same version of Tenon"));
}

Result<void> UcxConnection::open(const ReadIntroduction& peer) {
    token_ = peer.head.token;
    ucp_ep_params_t wanted{};
    wanted.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                        UCP_EP_PARAM_FIELD_ERR_HANDLER;
    wanted.address = reinterpret_cast<const ucp_address_t*>(peer.address.data());
    wanted.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    wanted.err_handler.cb = [](void* self, ucp_ep_h, ucs_status_t status) {
        static_cast<UcxConnection*>(self)->endpoint_failed(status);
    };
    wanted.err_handler.arg = this;
    if (const auto s = ucp_ep_create(worker_, &wanted, &endpoint_); s != UCS_OK) {
        endpoint_ = nullptr;
        return std::unexpected(lost(ucs_status_string(s),
                                    fmt::format("UCX finds no way there; look at UCX_TLS and UCX_NET_DEVICES on both "
                                                "hosts (the peer has UCX {}.{})",
                                                peer.head.release >> 16, peer.head.release & 0xffff)));
    }
    stage_ = Stage::reaching;
    flush();
    return {};
}

bool UcxConnection::reaches_peer() {
    if (stage_ != Stage::reaching || is_flushing_ || endpoint_status_ != UCS_OK) return false;
    stage_ = Stage::reached;
    return true;
}

void UcxConnection::peer_is_ready() { is_peer_ready_ = true; }

// One step further, where UCX and the peer are done with the last.
void UcxConnection::connect() {
    if (is_flushing_ || endpoint_status_ != UCS_OK) return;
    if (stage_ == Stage::reached && is_peer_ready_) {
        stage_ = Stage::greeting;
        send_notice(Notice::hello);
        flush();
    } else if (stage_ == Stage::greeting && is_greeted_) {
        stage_ = Stage::open;
        begin_puts();
    }
}

// Ends when there is a way to the peer; after the hello, when UCX has connected both ends.
void UcxConnection::flush() {
    is_flushing_ = true;
    ucp_request_param_t how{};
    how.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    how.cb.send = [](void* request, ucs_status_t status, void* self) {
        static_cast<UcxConnection*>(self)->flushed(status);
        ucp_request_free(request);
    };
    how.user_data = this;
    const ucs_status_ptr_t request = ucp_ep_flush_nbx(endpoint_, &how);
    if (!UCS_PTR_IS_PTR(request)) flushed(UCS_PTR_STATUS(request));
}

void UcxConnection::flushed(ucs_status_t status) noexcept {
    is_flushing_ = false;
    if (status != UCS_OK) endpoint_failed(status);
}

void UcxConnection::endpoint_failed(ucs_status_t status) noexcept {
    if (endpoint_status_ == UCS_OK) endpoint_status_ = status;
}

// The endpoint has come to its end: as it should where the peer has said so and all has come that it sent, or where
// this rank leaves and the peer has all that it wanted of it.
Result<void> UcxConnection::end_or_fail() {
    if (!has_everything() && !(leaves_ && is_acknowledged_)) {
        std::string why = ucs_status_string(endpoint_status_);
        if (failed_put_bytes_ != 0)
            why = fmt::format("putting {} bytes into its memory{}{} failed: {}", failed_put_bytes_,
                              put_lane_.empty() ? "" : " by ", put_lane_, why);
        Error error = lost(why, "look whether that process and its host live, and at the network between them");
        if (endpoint_status_ == UCS_ERR_ENDPOINT_TIMEOUT && goes_by_device(put_lane_)) error.status = Status::timeout;
        return std::unexpected(std::move(error));
    }
    stage_ = Stage::ended;
    return {};
}

// ---- leaving ------------------------------------------------------------------------------------------------------

// Into a free slot, which is then the queued one. False where there is nothing to be sent, or no slot.
bool UcxConnection::take_frame() {
    if (queued_) return true;
    if (free_slots_ == 0) return false;
    Slot& next = slots_[static_cast<std::size_t>(std::countr_zero(free_slots_))];
    for (Mirror* const m : mirrors()) {
        const auto outgoing = m->next_outgoing(next.room);
        if (!outgoing) continue;
        next.bytes = outgoing->bytes;
        queued_ = take_slot({.frame = outgoing->head});
        return true;
    }
    return false;
}

// The first that is free.
unsigned UcxConnection::take_slot(const MessageHead& head) {
    const auto index = static_cast<unsigned>(std::countr_zero(free_slots_));
    free_slots_ &= ~(std::uint64_t{1} << index);
    slots_[index].head = head;
    return index;
}

void UcxConnection::submit(unsigned index) {
    Slot& slot = slots_[index];
    const FrameHead& frame = slot.head.frame;
    if (is_message(frame)) sent_++;
    if (has_puts_ && is_bulk(frame) && frame.length >= put_min_bytes)
        if (const Offer* const offer = incoming_[frame.channel].peer_offers.find(frame))
            if (PeerKeys::Key key = peer_keys_.find(*offer)) return put(slot, *offer, std::move(key));
    send(slot, frame.length);
}

void UcxConnection::send(Slot& slot, std::size_t length) {
    slot.head.token = token_;
    slot.head.from = ends_.own;
    ucp_request_param_t how{};
    how.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
    how.flags = flags_of(slot.head);
    how.cb.send = [](void* request, ucs_status_t status, void* user) {
        Slot& done = *static_cast<Slot*>(user);
        done.connection->send_done(done, status);
        ucp_request_free(request);
    };
    how.user_data = &slot;
    const ucs_status_ptr_t request =
        ucp_am_send_nbx(endpoint_, message_id, &slot.head, sizeof slot.head, slot.bytes, length, &how);
    if (!UCS_PTR_IS_PTR(request)) send_done(slot, UCS_PTR_STATUS(request));
}

void UcxConnection::send_done(Slot& slot, ucs_status_t status) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (&slot - slots_.data());
    free_slots_ |= bit;
    notices_ &= ~bit;
    if (status == UCS_OK) return;
    has_lost_messages_ |= is_message(slot.head.frame);
    endpoint_failed(status);
}

void UcxConnection::send_notice(Notice what) {
    const unsigned index = take_slot({.frame = {.kind = FrameKind::goodbye, .number = std::to_underlying(what)}});
    notices_ |= std::uint64_t{1} << index;
    slots_[index].head.frame.taken[0] = sent_;
    slots_[index].bytes = nullptr;
    send(slots_[index], 0);
}

// A peer that is gone needs none; messages it should have had.
Result<void> UcxConnection::drop_credits() {
    do {
        if (queued_) has_lost_messages_ |= is_message(slots_[*queued_].head.frame);
        if (has_lost_messages_)
            return std::unexpected(lost("it has destroyed its communicator", "every rank must make the same calls"));
        if (queued_) free_slots_ |= std::uint64_t{1} << *std::exchange(queued_, std::nullopt);
    } while (take_frame());
    return {};
}

Result<bool> UcxConnection::progress() {
    if (held_ != 0) take_held();
    if (put_ != 0) send_put_heads();
    if (!error_ && has_endpoint() && endpoint_status_ != UCS_OK)
        if (auto ended = end_or_fail(); !ended) fail_with(ended.error());
    if (error_) return std::unexpected(*error_);
    if (has_endpoint() && stage_ != Stage::open) connect();
    if (stage_ == Stage::open) {
        if (has_everything() && !has_acknowledged_ && free_slots_ != 0) {
            has_acknowledged_ = true;
            send_notice(Notice::has_everything);
        }
        if (has_puts_) tell_offers();
        while (endpoint_status_ == UCS_OK && take_frame()) submit(*std::exchange(queued_, std::nullopt));
    }
    if (stage_ == Stage::ended)
        if (auto ok = drop_credits(); !ok) return std::unexpected(ok.error());
    return !has_something_to_send() && (all_slots_ & ~free_slots_ & ~notices_) == 0;
}

// As long as there is no way to the peer, credits are for a later call: whoever needs nothing of this one may be done
// with it, and then nobody is there to make the way.
bool UcxConnection::has_something_to_send() {
    if (stage_ == Stage::open || stage_ == Stage::ended) return take_frame();
    return std::ranges::any_of(mirrors(), [](const Mirror* m) { return m->has_message(); });
}

// A peer that has left needs nothing any more. One that is not connected yet may be connecting just now.
Result<bool> UcxConnection::finish_sending() {
    auto gone = progress();
    if (!gone || !*gone || stage_ == Stage::ended) return gone;
    if (has_acknowledged_ && !leaves_) return notices_ == 0;
    if (!patience_) patience_ = os::Deadline::after_ms(parting_patience_ms);
    if (stage_ == Stage::open && !leaves_) {
        if (free_slots_ == 0) return patience_->passed();
        leaves_ = true;
        send_notice(Notice::leaves);
        return false;
    }
    const bool both_know = is_acknowledged_ && peer_leaves_ == has_acknowledged_;
    return (both_know && stage_ == Stage::open && notices_ == 0) || patience_->passed();
}

// ---- arriving -----------------------------------------------------------------------------------------------------

ucs_status_t UcxConnection::arrived(const MessageHead& head, void* data, std::size_t length,
                                    bool is_rendezvous) noexcept {
    if (is_closing_ || error_) return UCS_OK;
    try {
        return accept(head, data, length, is_rendezvous);
    } catch (const std::exception& e) {  // no memory
        error_ = Error{Status::system_error, e.what()};
        return UCS_OK;
    }
}

bool UcxConnection::is_known(const MessageHead& message, std::size_t length, bool is_rendezvous) const {
    const FrameHead& head = message.frame;
    if (head.kind < FrameKind::packed || head.kind > FrameKind::goodbye || head.channel >= max_channels) return false;
    switch (message.note) {
        case Note::frame: return head.length == length && (!is_rendezvous || is_message(head));
        case Note::put: return length == 0 && !is_rendezvous && is_bulk(head);
        case Note::key:
        case Note::offers: return head.length == length && !is_rendezvous && head.kind == FrameKind::credit;
        default: return false;
    }
}

ucs_status_t UcxConnection::accept(const MessageHead& message, void* data, std::size_t length, bool is_rendezvous) {
    const FrameHead& head = message.frame;
    if (!is_known(message, length, is_rendezvous)) {
        broken("it sent what breaks the protocol: a frame of no known kind");
        return UCS_OK;
    }
    is_greeted_ = true;
    if (head.kind == FrameKind::goodbye) {
        if (head.number == std::to_underlying(Notice::has_everything)) is_acknowledged_ = true;
        if (head.number == std::to_underlying(Notice::leaves)) {
            peer_leaves_ = true;
            peer_sent_ = head.taken[0];
        }
        return UCS_OK;
    }
    if (message.note == Note::key || message.note == Note::offers) {
        take_note(message, {static_cast<const std::byte*>(data), length});
        return UCS_OK;
    }
    Incoming& in = incoming_[head.channel];
    in.connection = this;
    if (head.kind == FrameKind::credit) {
        deliver(in, head, data);
        return UCS_OK;
    }
    const std::uint32_t ahead = head.number - in.next;
    if (ahead >= most_ahead ||
        std::ranges::any_of(in.held, [&](const Held& h) { return h.head.frame.number == head.number; })) {
        broken("it sent what breaks the protocol: a message out of order");
        return UCS_OK;
    }
    if (ahead != 0 || in.is_receiving || is_rendezvous) {
        hold(in, message, data, length, is_rendezvous);
        return is_rendezvous ? UCS_INPROGRESS : UCS_OK;  // then UCX's descriptor stays valid
    }
    if (message.note == Note::put) deliver_put(in, head);
    else deliver(in, head, data);
    return UCS_OK;
}

void UcxConnection::hold(Incoming& in, const MessageHead& head, void* data, std::size_t length, bool is_rendezvous) {
    Held& held = in.held.emplace_back(Held{.head = head});
    held_++;
    const auto* bytes = static_cast<const std::byte*>(data);
    if (is_rendezvous) held.rendezvous = data;
    else held.bytes.assign(bytes, bytes + length);
}

// A whole frame is here.
void UcxConnection::deliver(Incoming& in, const FrameHead& head, const void* bytes) {
    const auto at = mirror(head.channel);
    if (!at) return fail_with(at.error());
    const auto to = (*at)->begin_incoming(head);
    if (!to) return broken(to.error().message);
    if (head.length != 0) std::memcpy(*to, bytes, head.length);
    (*at)->end_incoming(head);
    if (!is_message(head)) return;
    in.told.over(head.number);
    in.next++;
    received_++;
}

// UCX puts it where it belongs.
void UcxConnection::receive(Incoming& in, const FrameHead& head, void* rendezvous) {
    const auto at = mirror(head.channel);
    const auto to = at ? (*at)->begin_incoming(head) : std::unexpected(at.error());
    if (!to) {
        ucp_am_data_release(worker_, rendezvous);
        return at ? broken(to.error().message) : fail_with(to.error());
    }
    in.is_receiving = true;
    in.receiving = head;
    receiving_++;
    ucp_request_param_t how{};
    how.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    how.cb.recv_am = [](void* request, ucs_status_t status, std::size_t, void* user) {
        Incoming& done = *static_cast<Incoming*>(user);
        done.connection->receive_done(done, status);
        ucp_request_free(request);
    };
    how.user_data = &in;
    const ucs_status_ptr_t request = ucp_am_recv_data_nbx(worker_, rendezvous, *to, head.length, &how);
    if (!UCS_PTR_IS_PTR(request)) receive_done(in, UCS_PTR_STATUS(request));
}

void UcxConnection::receive_done(Incoming& in, ucs_status_t status) noexcept {
    in.is_receiving = false;
    receiving_--;
    if (status != UCS_OK) return endpoint_failed(status);
    if (is_closing_) return;
    (*mirror(in.receiving.channel))->end_incoming(in.receiving);
    in.told.over(in.receiving.number);
    in.next++;
    received_++;
}

void UcxConnection::take_held() {
    incoming_.for_each([this](Incoming& in) {
        if (!in.held.empty()) take_held(in);
    });
}

// Those of a channel whose turn it is.
void UcxConnection::take_held(Incoming& in) {
    while (!in.is_receiving && !error_) {
        const auto next = std::ranges::find_if(in.held, [&](const Held& h) { return h.head.frame.number == in.next; });
        if (next == in.held.end()) return;
        const Held held = std::move(*next);
        in.held.erase(next);
        held_--;
        if (held.rendezvous != nullptr) {
            receive(in, held.head.frame, held.rendezvous);
        } else if (held.head.note == Note::put) {
            deliver_put(in, held.head.frame);
        } else {
            deliver(in, held.head.frame, held.bytes.data());
        }
    }
}

// ---- the end ------------------------------------------------------------------------------------------------------

// Where the peer has not greeted, there is nothing of a call's memory, and the endpoint ends with the worker: were it
// closed before, UCX would answer a peer that connects just now by another one of its own, and 1.13 end the process.
bool UcxConnection::close() {
    if (!is_greeted_) return true;
    if (!std::exchange(is_closing_, true)) {
        incoming_.for_each([this](const Incoming& in) {
            for (const Held& h : in.held)
                if (h.rendezvous != nullptr) ucp_am_data_release(worker_, h.rendezvous);
        });
        ucp_request_param_t how{};
        how.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
        how.flags = UCP_EP_CLOSE_FLAG_FORCE;  // what had to arrive has, and a peer that is gone cannot be waited for
        if (endpoint_ != nullptr) closing_ = ucp_ep_close_nbx(endpoint_, &how);
    }
    if (UCS_PTR_IS_PTR(closing_)) {
        if (ucp_request_check_status(closing_) == UCS_INPROGRESS) return false;
        ucp_request_free(std::exchange(closing_, nullptr));
    }
    if (queued_) free_slots_ |= std::uint64_t{1} << *std::exchange(queued_, std::nullopt);
    free_slots_ |= std::exchange(put_, 0);
    return free_slots_ == all_slots_ && receiving_ == 0 && !is_flushing_;
}

}  // namespace tenon::ucx
