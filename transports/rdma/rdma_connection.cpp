#include "transports/rdma/rdma_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace tenon::rdma {
namespace {

// What is carried is the program's again when the peer's device has it, what is copied at once; below this, a copy
// takes no longer than that way and back.
constexpr std::size_t carried_min_bytes = 16 << 10;

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
    if (head.note == Note::offers) return "telling it where messages may be put";
    if (head.frame.kind == FrameKind::packed) return "sending a small message";
    return head.place == put_place ? "writing a message into its memory" : "writing a message into its ring";
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

RdmaConnection::RdmaConnection(Ends ends, Device& device, Registrations& registrations, MirrorMemory& memory,
                               std::function<void()> wanted)
    : MirroredConnection(memory, std::move(wanted)),
      ends_(std::move(ends)),
      device_(device),
      registrations_(registrations),
      rings_(std::make_unique<std::array<Ring, max_channels>>()) {}

std::optional<Exposure> RdmaConnection::expose(const void* bytes, std::size_t length) const {
    if (length < carried_min_bytes || registrations_.find(bytes, length) == nullptr) return std::nullopt;
    return Exposure{MessageForm::carried, reinterpret_cast<std::uintptr_t>(bytes)};
}

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
    return !has_something_to_send() && carried_.empty();
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
    if (mirror.has_offers())
        if (auto ok = tell_offers(mirror); !ok) return ok;
    while (ring.is_known && may_send(1) && mirror.has_outgoing()) {
        std::byte* const slot = device_.take_send_slot();
        if (slot == nullptr) break;
        auto& room = *reinterpret_cast<Mirror::PackedRoom*>(slot + sizeof(WireHead));
        const auto outgoing = mirror.next_outgoing(room);
        const bool is_bulk = outgoing->head.kind == FrameKind::medium || outgoing->head.kind == FrameKind::large;
        auto ok = is_bulk ? push_bulk(mirror, *outgoing, slot)
                          : send(slot, {.note = Note::frame, .frame = outgoing->head}, outgoing->head.length);
        if (!ok) return ok;
    }
    return {};
}

const WireOffer* RdmaConnection::offer_for(const Ring& ring, const FrameHead& frame) {
    if (ring.peer_offers.empty()) return nullptr;
    const WireOffer& offer = ring.peer_offers[frame.number & (ring.peer_offers.size() - 1)];
    const bool fits =
        offer.number == frame.number && offer.signature == frame.signature && offer.length == frame.length;
    return fits ? &offer : nullptr;
}

// From where it lies to where the peer has offered, or else to its place in the peer's ring.
Result<void> RdmaConnection::push_bulk(Mirror& mirror, const Mirror::Outgoing& outgoing, std::byte* slot) {
    const Ring& ring = (*rings_)[mirror.channel()];
    WireHead head{.note = Note::frame, .frame = outgoing.head, .place = outgoing.place};
    ibv_sge bytes{.addr = reinterpret_cast<std::uintptr_t>(outgoing.bytes), .length = head.frame.length,
                  .lkey = ring.outgoing->lkey};
    InUse memory = outgoing.is_carried ? registrations_.find(outgoing.bytes, head.frame.length) : nullptr;
    if (memory != nullptr) {
        bytes.lkey = memory->local_key;
    } else if (outgoing.is_carried) {
        // Others have taken its room meanwhile.
        std::byte* const place = mirror.outgoing_payloads().data() + outgoing.place;
        std::memcpy(place, outgoing.bytes, head.frame.length);
        bytes.addr = reinterpret_cast<std::uintptr_t>(place);
    }
    ibv_send_wr write{};
    write.wr_id = reinterpret_cast<std::uintptr_t>(slot) | std::to_underlying(Work::write);
    write.sg_list = &bytes;
    write.num_sge = 1;
    write.opcode = IBV_WR_RDMA_WRITE;
    write.wr.rdma.remote_addr = ring.peer_address + head.place;
    write.wr.rdma.rkey = ring.peer_key;
    if (const WireOffer* const offer = offer_for(ring, head.frame)) {
        write.wr.rdma.remote_addr = offer->address;
        write.wr.rdma.rkey = offer->key;
        head.place = put_place;
    }
    if (memory == nullptr) return send(slot, head, 0, &write);
    carried_.push_back(std::move(memory));
    return send(slot, head, 0, &write, Work::carrying_send);
}

// As many as fit into a note, as often as there is a send for one. What cannot be registered is not told.
Result<void> RdmaConnection::tell_offers(Mirror& mirror) {
    Ring& ring = (*rings_)[mirror.channel()];
    while (mirror.has_offers() && may_send(1)) {
        std::byte* const slot = device_.take_send_slot();
        if (slot == nullptr) return {};
        std::size_t length = 0;
        while (length + sizeof(WireOffer) <= packed_bytes) {
            const auto offered = mirror.next_offer();
            if (!offered) break;
            InUse memory = registrations_.find(offered->address, offered->length);
            if (memory == nullptr) continue;
            const WireOffer offer{.address = reinterpret_cast<std::uintptr_t>(offered->address),
                                  .key = memory->remote_key, .length = offered->length, .number = offered->number,
                                  .signature = offered->signature};
            std::memcpy(slot + sizeof(WireHead) + length, &offer, sizeof offer);
            length += sizeof offer;
            ring.told.resize(mirror.offer_count());
            ring.told[offer.number & (ring.told.size() - 1)] = {offer.number, std::move(memory)};
        }
        if (length == 0) {
            device_.free_send_slot(slot);
            return {};
        }
        const WireHead head{.note = Note::offers, .channel = mirror.channel()};
        if (auto ok = send(slot, head, length); !ok) return ok;
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
Result<void> RdmaConnection::send(std::byte* slot, WireHead head, std::size_t length, ibv_send_wr* before,
                                  Work work) {
    head.granted = std::exchange(free_receives_, 0);
    std::memcpy(slot, &head, sizeof head);
    ibv_sge bytes{.addr = reinterpret_cast<std::uintptr_t>(slot),
                  .length = static_cast<std::uint32_t>(sizeof head + length), .lkey = device_.slots_key()};
    ibv_send_wr wanted{};
    wanted.wr_id = reinterpret_cast<std::uintptr_t>(slot) | std::to_underlying(work);
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

void RdmaConnection::withdraw() {
    pair_.reset();
    stage_ = Stage::ended;
}

void RdmaConnection::completed(std::uint64_t id, ibv_wc_status status) {
    std::byte* const slot = slot_of(id);
    const WireHead head = head_of(slot);
    // A write that succeeds says nothing, and the send behind it frees the slot.
    if (work_of(id) != Work::write) {
        if (work_of(id) == Work::carrying_send) carried_.pop_front();
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
        case Note::offers: return take_offers(head, bytes);
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

// One for a message that has been sent already comes too late.
Result<void> RdmaConnection::take_offers(const WireHead& head, std::span<const std::byte> bytes) {
    if (head.channel >= max_channels || bytes.empty() || bytes.size() % sizeof(WireOffer) != 0)
        return std::unexpected(broken("it sent what breaks the protocol: offers of no channel, or a part of one"));
    const auto at = mirror(head.channel);
    if (!at) return std::unexpected(at.error());
    auto& offers = (*rings_)[head.channel].peer_offers;
    offers.resize((*at)->offer_count());
    for (; !bytes.empty(); bytes = bytes.subspan(sizeof(WireOffer))) {
        WireOffer offer;
        std::memcpy(&offer, bytes.data(), sizeof offer);
        const auto ahead = static_cast<std::int32_t>(offer.number - (*at)->forwarded());
        if (ahead > static_cast<std::int32_t>(offers.size()))
            return std::unexpected(broken("it sent what breaks the protocol: an offer too far ahead"));
        if (ahead > 0) offers[offer.number & (offers.size() - 1)] = offer;
    }
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
        const auto ok = head.place == put_place ? (*at)->take_put(frame) : (*at)->take_placed(frame, head.place);
        if (!ok) return std::unexpected(broken(ok.error().message));
        // Whether or not it was put there, nothing is any longer.
        if (auto& told = (*rings_)[frame.channel].told; !told.empty()) told[frame.number & (told.size() - 1)] = {};
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
