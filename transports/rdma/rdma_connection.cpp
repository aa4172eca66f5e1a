#include "transports/rdma/rdma_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/log.hpp"

namespace tenon::rdma {
namespace {

// What is carried is the program's again when the peer's device has it, what is copied at once; below this, a copy
// takes no longer than that way and back.
constexpr std::size_t carried_min_bytes = 16 << 10;

// A message that the peer should have had; it misses nothing else when it is gone.
bool is_message(const WireHead& head) {
    return head.note == Note::frame && head.frame.kind != FrameKind::credit && head.frame.kind != FrameKind::goodbye;
}

std::string_view what_is_sent(const WireHead& head) {
    if (head.note == Note::ring) return "telling it where a ring lies";
    if (head.note == Note::path_lost) return "telling it that a path is lost";
    if (head.note == Note::grant || head.frame.kind == FrameKind::credit) return "telling it what has been received";
    if (head.frame.kind == FrameKind::goodbye) return "saying goodbye";
    if (head.note == Note::offers) return "telling it where messages may be put";
    if (head.frame.kind == FrameKind::packed) return "sending a small message";
    return head.place == put_place ? "writing a message into its memory" : "writing a message into its ring";
}

// Another path may carry on; what is wrong by whatever path is an error.
bool is_of_the_path(ibv_wc_status status) {
    switch (status) {
        case IBV_WC_RETRY_EXC_ERR:
        case IBV_WC_RESP_TIMEOUT_ERR:
        case IBV_WC_WR_FLUSH_ERR:
        case IBV_WC_LOC_QP_OP_ERR:
        case IBV_WC_FATAL_ERR:
        case IBV_WC_GENERAL_ERR: return true;
        default: return false;
    }
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

RdmaConnection::RdmaConnection(Ends ends, std::vector<Device*> devices, Registrations& registrations,
                               MirrorMemory& memory, std::function<void()> wanted)
    : MirroredConnection(memory, std::move(wanted)),
      ends_(std::move(ends)),
      devices_(std::move(devices)),
      registrations_(registrations) {}

std::optional<Exposure> RdmaConnection::expose(const void* bytes, std::size_t length) const {
    if (length < carried_min_bytes || registrations_.find(bytes, length) == nullptr) return std::nullopt;
    return Exposure{MessageForm::carried, reinterpret_cast<std::uintptr_t>(bytes)};
}

// ---- the queue pair -----------------------------------------------------------------------------------------------

Error RdmaConnection::lost(std::string_view why, std::string_view advice) const {
    return {Status::remote_error,
            fmt::format("rank {} has lost its RDMA connection to rank {} on {} (by the {} here): {}; {}",
                        ends_.own, ends_.peer, ends_.peer_host, devices_in_words(), why, advice)};
}

std::string RdmaConnection::devices_in_words() const {
    std::vector<std::string> names;
    for (const Path& path : paths_)
        if (path.is_open() || error_ || paths_.size() == 1)
            if (auto name = path.device().name_and_state(); names.empty() || names.back() != name)
                names.push_back(std::move(name));
    return fmt::format("{} {}", names.size() == 1 ? "device" : "devices", fmt::join(names, " and "));
}

std::unexpected<Error> RdmaConnection::cannot_reach(std::string_view why) const {
    return fail(Status::system_error, fmt::format("rank {} cannot reach rank {} on {} over RDMA: {}", ends_.own,
                                                  ends_.peer, ends_.peer_host, why));
}

Error RdmaConnection::broken(std::string_view why) const {
    return lost(why, "look whether all ranks run the same version of Tenon");
}

void RdmaConnection::fail_with(Error error) {
    if (!error_) error_ = std::move(error);
}

Result<std::vector<Introduction>> RdmaConnection::begin() {
    std::vector<Introduction> own;
    for (Device* const device : devices_) {
        Path& path = paths_.emplace_back(*device, static_cast<std::uint32_t>(paths_.size()));
        const auto introduction = path.begin();
        own.push_back(introduction ? *introduction : Introduction{});
        if (!introduction) never_opens(path, introduction.error().message, false);
    }
    if (first_open() == nullptr) return cannot_reach(why_lost());
    return own;
}

Result<void> RdmaConnection::open(std::span<const Introduction> peer) {
    while (paths_.size() > peer.size()) paths_.pop_back();
    for (Path& path : paths_) {
        if (!path.is_open()) continue;
        const Introduction& other = peer[path.number()];
        if (other.window == 0) {
            never_opens(path, "the peer cannot use its device there", false);
        } else if (auto joined = path.open(other); !joined) {
            never_opens(path, joined.error().message, true);
        } else {
            log(LogLevel::debug, "rank {} is joined to rank {} on {} by the RDMA device {}", ends_.own, ends_.peer,
                ends_.peer_host, path.device().way_in_words(other));
        }
    }
    stage_ = Stage::open;
    return begin_with_what_opens();
}

// ---- leaving ------------------------------------------------------------------------------------------------------

Result<bool> RdmaConnection::progress(bool drained) {
    if (is_losing_ && drained) close_stopped();
    if (error_) return std::unexpected(*error_);
    bool all_gone = false;
    if (stage_ == Stage::ready) {
        const auto pushed = push();
        if (!pushed) return pushed;
        all_gone = *pushed;
    } else {
        if (stage_ == Stage::ended)
            if (auto ok = drop_credits(); !ok) return std::unexpected(ok.error());
        all_gone = !has_something_to_send();
    }
    return all_gone && carried_ == 0 && pending_.empty() && !is_losing_;
}

bool RdmaConnection::has_something_to_send() const {
    return std::ranges::any_of(mirrors(), [](const Mirror* m) { return m->has_outgoing(); });
}

// One more send can have its turn, some time.
bool RdmaConnection::may_push() const {
    return main().may_send(1 + pending_.size()) && main().under_way() + pending_.size() < main().device().window() &&
           !error_ && !is_losing_;
}

// True when the Mirrors have nothing more.
Result<bool> RdmaConnection::push() {
    if (registered_ < mirrors().size())
        if (auto ok = register_new(); !ok) return std::unexpected(ok.error());
    if (is_losing_) {
        if (auto ok = tell_lost(); !ok) return std::unexpected(ok.error());
        return false;
    }
    if (!pending_.empty())
        if (auto ok = send_pending(); !ok) return std::unexpected(ok.error());
    bool all_gone = true;
    for (Mirror* const m : mirrors()) {
        const auto gone = push(*m);
        if (!gone) return gone;
        all_gone &= *gone;
    }
    if (main().should_grant() && main().may_send(0) && !error_ && !is_losing_)
        if (auto ok = send_note({.note = Note::grant}); !ok) return ok;
    return all_gone;
}

Result<void> RdmaConnection::register_new() {
    for (; registered_ < mirrors().size(); registered_++) {
        const Mirror& mirror = *mirrors()[registered_];
        Ring& ring = rings_[mirror.channel()];
        for (Path& path : paths_)
            if (auto ok = register_ring(path, mirror, ring); !ok) {
                if (!may_lose_one()) return ok;
                lose(path, ok.error().message);
            }
    }
    return {};
}

// With the device of a path that is not lost, once.
Result<void> RdmaConnection::register_ring(const Path& path, const Mirror& mirror, Ring& ring) {
    if (!path.is_open()) return {};
    for (const Path& other : paths_)
        if (&other.device() == &path.device() && ring.incoming[other.number()] != nullptr) {
            ring.local[path.number()] = ring.local[other.number()];
            ring.keys_told[path.number()] = ring.keys_told[other.number()];
            return {};
        }
    auto outgoing = path.device().register_memory(mirror.outgoing_payloads(), false);
    if (!outgoing) return std::unexpected(outgoing.error());
    auto incoming = path.device().register_memory(mirror.incoming_payloads(), true);
    if (!incoming) return std::unexpected(incoming.error());
    ring.local[path.number()] = (*outgoing)->lkey;
    ring.keys_told[path.number()] = (*incoming)->rkey;
    ring.outgoing[path.number()] = std::move(*outgoing);
    ring.incoming[path.number()] = std::move(*incoming);
    return {};
}

Result<void> RdmaConnection::tell_ring(Mirror& mirror) {
    Ring& ring = rings_[mirror.channel()];
    const auto payloads = mirror.incoming_payloads();
    const auto told = send_note({.note = Note::ring, .channel = mirror.channel(),
                                 .place = reinterpret_cast<std::uintptr_t>(payloads.data()),
                                 .size = static_cast<std::uint32_t>(payloads.size())},
                                std::as_bytes(std::span{ring.keys_told}));
    if (!told) return std::unexpected(told.error());
    ring.is_told = *told;
    return {};
}

Result<bool> RdmaConnection::push(Mirror& mirror) {
    Ring& ring = rings_[mirror.channel()];
    if (!ring.is_told && may_push())
        if (auto ok = tell_ring(mirror); !ok) return std::unexpected(ok.error());
    if (mirror.has_offers())
        if (auto ok = tell_offers(mirror); !ok) return std::unexpected(ok.error());
    while (mirror.has_outgoing()) {
        if (!ring.is_known || !may_push() || (paths_.size() > 1 && paces_.should_wait(paths_))) return false;
        std::byte* const slot = main().device().take_send_slot();
        if (slot == nullptr) return false;
        auto& room = *reinterpret_cast<Mirror::PackedRoom*>(slot + small_head_bytes);
        const auto outgoing = mirror.next_outgoing(room);
        const FrameHead& frame = outgoing->head;
        const bool is_bulk = frame.kind == FrameKind::medium || frame.kind == FrameKind::large;
        const bool tells_credits = !std::ranges::equal(frame.taken, ring.taken_told);
        std::ranges::copy(frame.taken, ring.taken_told.begin());
        auto ok = is_bulk ? push_bulk(mirror, *outgoing, slot, tells_credits)
                          : send_in_turn({.note = Note::frame, .frame = frame}, {.slot = slot, .length = frame.length});
        if (!ok) return std::unexpected(ok.error());
    }
    return true;
}

// From where the message lies to where the peer has offered, or else to its place in the peer's ring.
Write RdmaConnection::write_of(Mirror& mirror, const Mirror::Outgoing& outgoing, WireHead& head) {
    const Ring& ring = rings_[mirror.channel()];
    Write write{.from = reinterpret_cast<std::uintptr_t>(outgoing.bytes), .to = ring.peer_address + outgoing.place,
                .length = head.frame.length, .local = ring.local, .remote = ring.peer_keys};
    if (outgoing.is_carried) write.memory = registrations_.find(outgoing.bytes, write.length);
    if (write.memory != nullptr) {
        write.local = write.memory->handle->local;
    } else if (outgoing.is_carried) {
        // Others have taken its room meanwhile.
        std::byte* const place = mirror.outgoing_payloads().data() + outgoing.place;
        std::memcpy(place, outgoing.bytes, write.length);
        write.from = reinterpret_cast<std::uintptr_t>(place);
    }
    head.place = outgoing.place;
    if (main().fits_a_send(write.length)) return write;
    if (const WireOffer* const offer = ring.peer_offers.find(head.frame)) {
        write.to = offer->address;
        write.remote = offer->key;
        head.place = put_place;
    }
    return write;
}

// What is short is not worth the way back that its send would have to wait for, by another path.
Path& RdmaConnection::path_for(std::uint32_t length) {
    if (paths_.size() == 1 || length < spread_min_bytes) return main();
    return paths_[paces_.quickest(paths_, length, main().number())];
}

Result<void> RdmaConnection::push_bulk(Mirror& mirror, const Mirror::Outgoing& outgoing, std::byte* slot,
                                       bool tells_credits) {
    WireHead head{.note = Note::frame, .frame = outgoing.head};
    Write wanted = write_of(mirror, outgoing, head);
    if (pending_.empty() && &path_for(wanted.length) == &main())
        return send(head, {slot, 0, &wanted, head.place == put_place && !tells_credits});
    std::memcpy(slot, &head, sizeof head);
    return begin_write(pending_.emplace_back(slot, 0, &main().device(), std::move(wanted)));
}

Result<void> RdmaConnection::begin_write(Pending& pending) {
    Path& path = path_for(pending.write.length);
    pending.writer = path.number();
    pending.is_written = false;
    paces_.begins(path);
    if (const int error = path.write(pending.slot, pending.write); error != 0) {
        const std::string why = fmt::format("writing a message failed: {}", std::strerror(error));
        if (!may_lose_one()) return std::unexpected(lost(why, "look at the device (ibv_devinfo, dmesg)"));
        lose(path, why);
    }
    return {};
}

Result<void> RdmaConnection::send_in_turn(const WireHead& head, const Send& wanted) {
    if (pending_.empty()) return send(head, wanted);
    std::memcpy(wanted.slot, &head, head_bytes(head));
    pending_.emplace_back(wanted.slot, wanted.length, &main().device());
    return {};
}

// Those whose turn has come.
Result<void> RdmaConnection::send_pending() {
    while (!pending_.empty() && pending_.front().is_written && main().may_send(1) && !error_ && !is_losing_) {
        const Pending& first = pending_.front();
        Send wanted{.slot = first.slot, .length = first.length};
        if (first.slots != &main().device()) {
            wanted.slot = main().device().take_send_slot();
            if (wanted.slot == nullptr) return {};
            std::memcpy(wanted.slot, first.slot, head_bytes(head_of(first.slot)) + wanted.length);
            first.slots->free_send_slot(first.slot);
        }
        pending_.pop_front();
        const WireHead head = head_of(wanted.slot);
        if (auto ok = send(head, wanted); !ok) return ok;
    }
    return {};
}

void RdmaConnection::written(const std::byte* slot) {
    for (Pending& pending : pending_) {
        if (pending.slot != slot || pending.is_written) continue;
        paths_[pending.writer].written(pending.write);
        paces_.written(paths_[pending.writer], pending.write.length);
        pending.write.memory.reset();
        pending.is_written = true;
    }
}

// As many as fit into a note, as often as there is a send for one. What cannot be registered is not told.
Result<void> RdmaConnection::tell_offers(Mirror& mirror) {
    Ring& ring = rings_[mirror.channel()];
    while (mirror.has_offers() && may_push()) {
        std::byte* const slot = main().device().take_send_slot();
        if (slot == nullptr) return {};
        const auto length = static_cast<std::uint32_t>(ring.told.fill(
            {slot + sizeof(WireHead), packed_bytes}, mirror,
            [this](const auto& offered) { return registrations_.find(offered.address, offered.length); },
            [](const InUse& memory) { return memory->handle->remote; }));
        if (length == 0) {
            main().device().free_send_slot(slot);
            return {};
        }
        const WireHead head{.note = Note::offers, .channel = mirror.channel()};
        if (auto ok = send(head, {.slot = slot, .length = length}); !ok) return ok;
    }
    return {};
}

// False where there is no slot for it.
Result<bool> RdmaConnection::send_note(const WireHead& head, std::span<const std::byte> bytes) {
    std::byte* const slot = main().device().take_send_slot();
    if (slot == nullptr) return false;
    std::ranges::copy(bytes, slot + sizeof head);
    if (auto ok = send(head, {.slot = slot, .length = static_cast<std::uint32_t>(bytes.size())}); !ok)
        return std::unexpected(ok.error());
    return true;
}

Result<void> RdmaConnection::send(const WireHead& head, const Send& wanted) {
    if (wanted.write != nullptr && wanted.write->memory != nullptr) carried_++;
    if (wanted.write != nullptr && paths_.size() > 1) paces_.begins(main());
    const int error = main().send(head, wanted);
    if (error == 0) return {};
    const std::string why = fmt::format("{} failed: {}", what_is_sent(head), std::strerror(error));
    if (!may_lose_one()) return std::unexpected(lost(why, "look at the device (ibv_devinfo, dmesg)"));
    lose(main(), why);
    return {};
}

void RdmaConnection::acknowledge(Path& path) {
    const Send sent = path.take_acknowledged();
    if (sent.write != nullptr && paths_.size() > 1) paces_.written(path, sent.write->length);
    if (sent.write != nullptr && std::exchange(sent.write->memory, nullptr) != nullptr) carried_--;
    path.device().free_send_slot(sent.slot);
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
    auto gone = progress(false);
    if (!gone || !*gone || stage_ == Stage::ended) return gone;
    // A peer that has wanted this rank too must not find it gone.
    if (stage_ != Stage::ready) return false;
    if (!says_goodbye_) {
        if (!may_push()) return false;
        const auto said = send_note({.note = Note::frame, .frame = {.kind = FrameKind::goodbye}});
        if (!said || !*said) return said;
        says_goodbye_ = true;
    }
    return main().under_way() == 0 && !is_losing_ && pending_.empty();
}

void RdmaConnection::withdraw() {
    for (Path& path : paths_) path.close();
    stage_ = Stage::ended;
}

void RdmaConnection::completed(std::uint32_t number, std::uint64_t id, ibv_wc_status status) {
    Path& path = paths_[number];
    if (path.state() == Path::State::closed) return;
    if (status == IBV_WC_SUCCESS) return work_of(id) == Work::write ? written(slot_of(id)) : acknowledge(path);
    if (path.state() == Path::State::stopped) return;
    const WireHead head = head_of(slot_of(id));
    const bool is_over = stage_ == Stage::ended || error_;
    const bool is_lost = !is_over && is_of_the_path(status) && may_lose_one();
    if (work_of(id) != Work::write && !is_lost) acknowledge(path);
    if (is_over) return;
    // The peer has what came before, and went without telling that it has this.
    if (says_goodbye_ && !is_message(head) && status == IBV_WC_RETRY_EXC_ERR) {
        stage_ = Stage::ended;
        return;
    }
    const std::string why = fmt::format("{} failed: {}", what_is_sent(head), ibv_wc_status_str(status));
    if (is_lost) return lose(path, why);
    Error error = lost(why, advice_for(status));
    if (status == IBV_WC_RETRY_EXC_ERR || status == IBV_WC_RESP_TIMEOUT_ERR) error.status = Status::timeout;
    fail_with(std::move(error));
}

// ---- what devices say --------------------------------------------------------------------------------------------

void RdmaConnection::receive_failed(std::uint32_t number, ibv_wc_status status) {
    Path& path = paths_[number];
    if (stage_ == Stage::ended || !path.is_open()) return;
    const std::string why = fmt::format("receiving failed: {}", ibv_wc_status_str(status));
    if (is_of_the_path(status) && may_lose_one()) return lose(path, why);
    fail_with(lost(why, advice_for(status)));
}

void RdmaConnection::reported(std::uint32_t number, ibv_event_type what) {
    Path& path = paths_[number];
    if (stage_ == Stage::ended || !path.is_open()) return;
    const std::string why = fmt::format("the device reports of its queue pair: {}", ibv_event_type_str(what));
    const bool is_refusal = what == IBV_EVENT_QP_REQ_ERR || what == IBV_EVENT_QP_ACCESS_ERR;
    if (!is_refusal && may_lose_one()) return lose(path, why);
    fail_with(lost(why, is_refusal ? "it refused what the peer wanted: look whether all ranks run the same version of "
                                     "Tenon"
                                   : "look at the device (ibv_devinfo, dmesg)"));
}

}  // namespace tenon::rdma
