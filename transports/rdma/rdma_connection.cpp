#include "transports/rdma/rdma_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace tenon::rdma {
namespace {

WireHead head_of(const std::byte* slot) {
    WireHead head;
    std::memcpy(&head, slot, sizeof head);
    return head;
}

// A message that the peer should have had; it misses nothing else when it is gone.
bool is_message(const WireHead& head) {
    return head.note == Note::frame && head.frame.kind != FrameKind::credit && head.frame.kind != FrameKind::goodbye;
}

std::string_view what_is_sent(const WireHead& head) {
    if (head.note == Note::ring) return "telling it where a ring lies";
    if (head.note == Note::grant || head.frame.kind == FrameKind::credit) return "telling it what has been received";
    if (head.frame.kind == FrameKind::goodbye) return "saying goodbye";
    return head.frame.kind == FrameKind::packed ? "sending a small message" : "writing a message into its ring";
}

std::string_view advice_for(ibv_wc_status status) {
    switch (status) {
        case IBV_WC_RETRY_EXC_ERR:
        case IBV_WC_RESP_TIMEOUT_ERR:
            return "its device does not answer: look whether that process and its host live, and at the network "
                   "between them";
        case IBV_WC_RNR_RETRY_EXC_ERR:
            return "it does not take in what was sent: look whether that process is stopped";
        case IBV_WC_REM_ACCESS_ERR:
        case IBV_WC_REM_INV_REQ_ERR:
        case IBV_WC_REM_OP_ERR:
            return "its device refused it: look whether all ranks run the same version of Tenon";
        default:
            return "look at the device (ibv_devinfo, dmesg) on both hosts";
    }
}

}  // namespace

RdmaConnection::RdmaConnection(Ends ends, Device& device, MirrorMemory& memory, std::function<void()> wanted)
    : MirroredConnection(memory, std::move(wanted)),
      ends_(std::move(ends)),
      device_(device),
      rings_(std::make_unique<std::array<Ring, max_channels>>()) {}

// ---- the queue pair -----------------------------------------------------------------------------------------------

Error RdmaConnection::lost(std::string_view why, std::string_view advice) const {
    return {Status::remote_error,
            fmt::format("rank {} has lost its RDMA connection to rank {} on {} (by the device {} here): {}; {}",
                        ends_.own, ends_.peer, ends_.peer_host, device_.name_and_state(), why, advice)};
}

Error RdmaConnection::broken(std::string_view why) const {
    return lost(why, "look whether all ranks run the same version of Tenon");
}

void RdmaConnection::fail_with(Error error) {
    if (!error_) error_ = std::move(error);
}

Result<Introduction> RdmaConnection::begin() {
    auto made = device_.make_pair();
    if (!made) return std::unexpected(made.error());
    pair_ = std::move(made->pair);
    most_inline_ = made->most_inline;
    own_ = device_.introduction(*pair_);
    return own_;
}

Result<void> RdmaConnection::open(const Introduction& peer) {
    if (auto joined = device_.connect(*pair_, own_, peer); !joined)
        return fail(joined.error().status, fmt::format("rank {} cannot reach rank {} on {} over RDMA: {}", ends_.own,
                                                       ends_.peer, ends_.peer_host, joined.error().message));
    window_ = credits_ = peer.window;
    stage_ = Stage::open;
    return {};
}

// ---- leaving ------------------------------------------------------------------------------------------------------

Result<bool> RdmaConnection::progress() {
    if (error_) return std::unexpected(*error_);
    if (stage_ == Stage::ready)
        if (auto ok = push(); !ok) return std::unexpected(ok.error());
    if (stage_ == Stage::ended)
        if (auto ok = drop_credits(); !ok) return std::unexpected(ok.error());
    return !has_something_to_send();
}

bool RdmaConnection::has_something_to_send() const {
    return std::ranges::any_of(mirrors(), [](const Mirror* m) { return m->has_outgoing(); });
}

// With so many of the peer's receives left over.
bool RdmaConnection::may_send(std::uint32_t kept) const {
    return credits_ > kept && under_way_ < device_.window() && !error_;
}

Result<void> RdmaConnection::push() {
    if (registered_ < mirrors().size())
        if (auto ok = register_new(); !ok) return ok;
    for (Mirror* const m : mirrors())
        if (auto ok = push(*m); !ok) return ok;
    if (free_receives_ >= (device_.window() + 1) / 2 && may_send(0)) return send_note({.note = Note::grant});
    return {};
}

Result<void> RdmaConnection::register_new() {
    for (; registered_ < mirrors().size(); registered_++) {
        const Mirror& mirror = *mirrors()[registered_];
        auto outgoing = device_.register_memory(mirror.outgoing_payloads(), false);
        if (!outgoing) return std::unexpected(outgoing.error());
        auto incoming = device_.register_memory(mirror.incoming_payloads(), true);
        if (!incoming) return std::unexpected(incoming.error());
        Ring& ring = (*rings_)[mirror.channel()];
        ring.outgoing = std::move(*outgoing);
        ring.incoming = std::move(*incoming);
    }
    return {};
}

Result<void> RdmaConnection::tell_ring(Mirror& mirror) {
    Ring& ring = (*rings_)[mirror.channel()];
    const auto payloads = mirror.incoming_payloads();
    ring.is_told = true;
    return send_note({.note = Note::ring, .channel = mirror.channel(),
                      .place = reinterpret_cast<std::uintptr_t>(payloads.data()), .key = ring.incoming->rkey,
                      .size = static_cast<std::uint32_t>(payloads.size())});
}

Result<void> RdmaConnection::push(Mirror& mirror) {
    Ring& ring = (*rings_)[mirror.channel()];
    if (!ring.is_told && may_send(1))
        if (auto ok = tell_ring(mirror); !ok) return ok;
    while (ring.is_known && may_send(1) && mirror.has_outgoing()) {
        std::byte* const slot = device_.take_send_slot();
        if (slot == nullptr) break;
        auto& room = *reinterpret_cast<Mirror::PackedRoom*>(slot + sizeof(WireHead));
        const auto outgoing = mirror.next_outgoing(room);
        WireHead head{.note = Note::frame, .frame = outgoing->head};
        if (outgoing->head.kind != FrameKind::medium && outgoing->head.kind != FrameKind::large) {
            if (auto ok = send(slot, head, outgoing->head.length); !ok) return ok;
            continue;
        }
        head.place = static_cast<std::uint64_t>(outgoing->bytes - mirror.outgoing_payloads().data());
        ibv_sge bytes{.addr = reinterpret_cast<std::uintptr_t>(outgoing->bytes), .length = outgoing->head.length,
                      .lkey = ring.outgoing->lkey};
        ibv_send_wr write{};
        write.wr_id = reinterpret_cast<std::uintptr_t>(slot) | std::to_underlying(Work::write);
        write.sg_list = &bytes;
        write.num_sge = 1;
        write.opcode = IBV_WR_RDMA_WRITE;
        write.wr.rdma.remote_addr = ring.peer_address + head.place;
        write.wr.rdma.rkey = ring.peer_key;
        if (auto ok = send(slot, head, 0, &write); !ok) return ok;
    }
    return {};
}

Result<void> RdmaConnection::send_note(const WireHead& head) {
    std::byte* const slot = device_.take_send_slot();
    if (slot == nullptr) {
        if (head.note == Note::ring) (*rings_)[head.channel].is_told = false;
        return {};
    }
    return send(slot, head, 0);
}

// The slot's head and `length` bytes behind it, after what is `before`.
Result<void> RdmaConnection::send(std::byte* slot, WireHead head, std::size_t length, ibv_send_wr* before) {
    head.granted = std::exchange(free_receives_, 0);
    std::memcpy(slot, &head, sizeof head);
    ibv_sge bytes{.addr = reinterpret_cast<std::uintptr_t>(slot),
                  .length = static_cast<std::uint32_t>(sizeof head + length), .lkey = device_.slots_key()};
    ibv_send_wr wanted{};
    wanted.wr_id = reinterpret_cast<std::uintptr_t>(slot) | std::to_underlying(Work::send);
    wanted.sg_list = &bytes;
    wanted.num_sge = 1;
    wanted.opcode = IBV_WR_SEND;
    wanted.send_flags = IBV_SEND_SIGNALED | (bytes.length <= most_inline_ ? unsigned{IBV_SEND_INLINE} : 0U);
    if (before != nullptr) before->next = &wanted;
    ibv_send_wr* refused = nullptr;
    if (const int error = device_.api().post_send(pair_.get(), before != nullptr ? before : &wanted, &refused);
        error != 0)
        return std::unexpected(lost(fmt::format("{} failed: {}", what_is_sent(head), std::strerror(error)),
                                    "look at the device (ibv_devinfo, dmesg)"));
    credits_--;
    under_way_++;
    return {};
}

// A peer that is gone needs none; messages it should have had.
Result<void> RdmaConnection::drop_credits() {
    Mirror::PackedRoom room;
    for (Mirror* const m : mirrors())
        while (const auto outgoing = m->next_outgoing(room))
            if (outgoing->head.kind != FrameKind::credit)
                return std::unexpected(lost("it has destroyed its communicator", "make the same calls on every rank"));
    return {};
}

Result<bool> RdmaConnection::finish_sending() {
    auto gone = progress();
    if (!gone || !*gone || stage_ == Stage::ended) return gone;
    // A peer that has wanted this rank too must not find it gone.
    if (stage_ != Stage::ready) return false;
    if (!says_goodbye_) {
        if (!may_send(1)) return false;
        std::byte* const slot = device_.take_send_slot();
        if (slot == nullptr) return false;
        says_goodbye_ = true;
        if (auto ok = send(slot, {.note = Note::frame, .frame = {.kind = FrameKind::goodbye}}, 0); !ok)
            return std::unexpected(ok.error());
    }
    return under_way_ == 0;
}

void RdmaConnection::completed(std::uint64_t id, ibv_wc_status status) {
    std::byte* const slot = slot_of(id);
    const WireHead head = head_of(slot);
    // A write that succeeds says nothing, and the send behind it frees the slot.
    if (work_of(id) == Work::send) {
        under_way_--;
        device_.free_send_slot(slot);
    }
    if (status == IBV_WC_SUCCESS || stage_ == Stage::ended) return;
    // The peer has what came before, and went without telling that it has this.
    if (says_goodbye_ && !is_message(head) && status == IBV_WC_RETRY_EXC_ERR) {
        stage_ = Stage::ended;
        return;
    }
    fail_with(lost(fmt::format("{} failed: {}", what_is_sent(head), ibv_wc_status_str(status)), advice_for(status)));
}

// ---- arriving -----------------------------------------------------------------------------------------------------

void RdmaConnection::receive_failed(ibv_wc_status status) {
    if (stage_ == Stage::ended) return;
    fail_with(lost(fmt::format("receiving failed: {}", ibv_wc_status_str(status)), advice_for(status)));
}

void RdmaConnection::reported(ibv_event_type what) {
    if (stage_ == Stage::ended) return;
    fail_with(lost(fmt::format("the device reports of its queue pair: {}", ibv_event_type_str(what)),
                   what == IBV_EVENT_QP_FATAL ? "look at the device (ibv_devinfo, dmesg)"
                                              : "it refused what the peer wanted: look whether all ranks run the same "
                                                "version of Tenon"));
}

void RdmaConnection::arrived(std::span<const std::byte> bytes) {
    if (error_ || stage_ == Stage::ended) return;
    free_receives_++;
    if (bytes.size() < sizeof(WireHead)) return fail_with(broken("it sent what breaks the protocol: too few bytes"));
    const WireHead head = head_of(bytes.data());
    if (head.granted > window_ - credits_) return fail_with(broken("it granted more receives than it has"));
    credits_ += head.granted;
    if (auto taken = take(head, bytes.subspan(sizeof head)); !taken) fail_with(taken.error());
}

Result<void> RdmaConnection::take(const WireHead& head, std::span<const std::byte> bytes) {
    switch (head.note) {
        case Note::grant: return {};
        case Note::ring: return take_ring(head);
        case Note::frame: break;
        default: return std::unexpected(broken("it sent what breaks the protocol: a note of no known kind"));
    }
    if (head.frame.kind == FrameKind::goodbye) {
        stage_ = Stage::ended;
        return {};
    }
    return take_frame(head, bytes);
}

Result<void> RdmaConnection::take_ring(const WireHead& head) {
    if (head.channel >= max_channels || (*rings_)[head.channel].is_known)
        return std::unexpected(broken("it sent what breaks the protocol: a ring of no channel, or told twice"));
    const auto at = mirror(head.channel);
    if (!at) return std::unexpected(at.error());
    if ((*at)->incoming_payloads().size() != head.size)
        return std::unexpected(
            lost("its rings have another shape", "set the same TENON_SLOT_MEMORY_BYTES on every rank"));
    Ring& ring = (*rings_)[head.channel];
    ring.is_known = true;
    ring.peer_address = head.place;
    ring.peer_key = head.key;
    return {};
}

Result<void> RdmaConnection::take_frame(const WireHead& head, std::span<const std::byte> bytes) {
    const FrameHead& frame = head.frame;
    if (frame.kind < FrameKind::packed || frame.kind > FrameKind::credit || frame.channel >= max_channels ||
        !(*rings_)[frame.channel].is_told)
        return std::unexpected(broken("it sent what breaks the protocol: a frame of no known kind"));
    const auto at = mirror(frame.channel);
    if (!at) return std::unexpected(at.error());
    if (frame.kind == FrameKind::medium || frame.kind == FrameKind::large) {
        if (auto ok = (*at)->take_placed(frame, head.place); !ok) return std::unexpected(broken(ok.error().message));
        return {};
    }
    if (frame.length != bytes.size())
        return std::unexpected(broken("it sent what breaks the protocol: a message of a wrong length"));
    const auto to = (*at)->begin_incoming(frame);
    if (!to) return std::unexpected(broken(to.error().message));
    if (frame.length != 0) std::memcpy(*to, bytes.data(), frame.length);
    (*at)->end_incoming(frame);
    return {};
}

}  // namespace tenon::rdma
