// How a server ends a meeting: everyone gets it, or the same refusal.
#include <fmt/format.h>

#include <algorithm>

#include "base/log.hpp"
#include "bootstrap/interfaces.hpp"
#include "bootstrap/server.hpp"
#include "os/memory.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::uint64_t linger_ms = 5'000;
constexpr std::uint64_t refusal_send_ms = 100;
constexpr std::uint64_t others_hear_ms = 500;
constexpr std::uint64_t root_holds_back_ms = 600;
constexpr std::uint64_t host_holds_back_ms = 1'000;

}  // namespace

// Nobody comes late to a complete meeting: what knocks from here on belongs to the next one by that name.
Result<void> Server::conclude() {
    lobby_.close();
    close_door();
    branches_.drop_unknown();
    if (is_root())
        if (auto made = make_table(); !made) return made;
    for (Branch& child : branches_.children())
        if (auto sent = child.watch.send(child.socket, table_frame_, sending()); !sent)
            return fail(sent.error().status,
                        fmt::format("{} did not take the table of ranks: {}", child.text(), sent.error().message));
    if (auto handed = hand_out(); !handed) return handed;
    if (auto ready = wait_until_all_are_ready(); !ready) return ready;
    send_go();
    return {};
}

Result<void> Server::make_table() {
    os::Secret key;
    if (auto filled = os::fill_random(key.bytes); !filled) return filled;
    table_ = roll_.table(key);
    if (table_->hosts.size() > 1 || post_.network.takes_data)
        if (auto usable = roll_.check_networks(); !usable) return usable;
    if (post_.network.interface.empty() && branches_.seen_as().valid()) own_address_ = branches_.seen_as();
    if (!own_address_.valid())
        if (const auto own = own_interface(post_.network.interface); own && *own) own_address_ = (*own)->address;
    for (Introduction& who : table_->ranks) complete_address(who);
    for (TableHost& host : table_->hosts)
        if (host.node == node_) host.network = own_network();
    table_frame_ = write_table(*table_);
    return {};
}

std::vector<const os::FileDescriptor*> Server::arenas() const {
    std::vector<const os::FileDescriptor*> arenas(static_cast<std::size_t>(arena_count_));
    for (const auto& guest : lobby_.guests())
        if (guest->arena_number >= 0) arenas[static_cast<std::size_t>(guest->arena_number)] = &guest->arena;
    return arenas;
}

// The edges to hosts that have ranks.
std::vector<std::pair<const os::TcpSocket*, std::int32_t>> Server::links() const {
    std::vector<std::pair<const os::TcpSocket*, std::int32_t>> links;
    const auto add = [&](const os::TcpSocket& socket, const NodeToken& node) {
        const auto at = std::ranges::find(table_->hosts, node, &TableHost::node);
        if (at != table_->hosts.end())
            links.emplace_back(&socket, static_cast<std::int32_t>(at - table_->hosts.begin()));
    };
    if (uplink_) add(uplink_->socket(), uplink_->parent());
    for (const Branch& child : branches_.children()) add(child.socket, child.node);
    return links;
}

Result<void> Server::hand_out() {
    auto segment = os::create_shared_memory("tenon-segment", roll_.agreement().segment);
    if (!segment) return std::unexpected(segment.error());
    Rank lowest = rank_count_limit;
    for (const auto& guest : lobby_.guests())
        for (const Rank rank : guest->ranks) lowest = std::min(lowest, rank);
    for (auto& guest : lobby_.guests()) {
        if (guest->ranks.empty()) continue;
        const bool has_lowest = std::ranges::find(guest->ranks, lowest) != guest->ranks.end();
        if (auto handed = hand_out_to(*guest, *segment, has_lowest); !handed)
            return fail(handed.error().status, fmt::format("{} did not take what the rendezvous sent: {}",
                                                           Lobby::name_of(*guest), handed.error().message));
    }
    return {};
}

Result<void> Server::hand_out_to(Guest& guest, const os::FileDescriptor& segment, bool takes_links) {
    const os::Deadline deadline = sending();
    if (auto sent = guest.socket.send(table_frame_, deadline); !sent) return sent;
    if (auto sent = guest.socket.send(write_frame(FrameKind::segment), deadline, &segment); !sent) return sent;
    for (const os::FileDescriptor* arena : arenas())
        if (auto sent = guest.socket.send(write_frame(FrameKind::arena), deadline, arena); !sent) return sent;
    if (!takes_links) return {};
    for (const auto& [socket, host] : links())
        if (auto sent = guest.socket.send(write_link(host), deadline, &socket->descriptor()); !sent) return sent;
    return {};
}

Result<void> Server::wait_until_all_are_ready() {
    const auto wait = [this](auto is_over) -> Result<void> {
        while (!is_over()) {
            if (auto in_time = check_time(); !in_time) return in_time;
            if (auto served = serve_once(); !served) return served;
        }
        return {};
    };
    if (auto ready = wait([this] { return std::ranges::all_of(branches_.children(), &Branch::ready); }); !ready)
        return ready;
    if (is_root()) return {};
    is_ready_ = true;
    uplink_->stop_knocking();
    if (auto sent = send_up(write_frame(FrameKind::ready)); !sent) return sent;
    return wait([this] { return may_go_; });
}

// Who is gone by now has had the outcome, and is missed by the liveness checks from here on.
void Server::send_go() {
    const auto go = write_frame(FrameKind::go);
    for (Branch& child : branches_.children()) static_cast<void>(child.socket.send(go, sending()));
    for (auto& guest : lobby_.guests()) {
        guest->arena.close();
        if (!guest->ranks.empty()) static_cast<void>(guest->socket.send(go, sending()));
    }
    log(LogLevel::debug, "{} ranks on {} hosts have met", table_->ranks.size(), table_->hosts.size());
}

void Server::refuse(Error why) {
    const bool is_root_of_all = is_root();
    uplink_.reset();
    refusal_ = std::move(why);
    holds_back_ = post_.invitation.is_by_job;
    branches_.refuse_newcomers(*refusal_);
    tell_branches();
    if (holds_back_) close_to_newcomers(is_root_of_all ? root_holds_back_ms : host_holds_back_ms);
    for (Rank rank = 0; rank < (roll_.begun() ? roll_.agreement().rank_count : 0); rank++)
        if (roll_.came(rank)) told_.insert(rank);
    std::vector<Guest*> known;
    for (auto& guest : lobby_.guests())
        if (guest->known && guest->open()) known.push_back(guest.get());
    for (const Guest* guest : known) count_as_told(*guest);
    close_when_all_are_told();
    for (Guest* guest : known) tell(*guest);
    linger();
}

// From here on nobody else is let in, and nobody is told where that would have been.
void Server::close_door() {
    if (in_file_) remove_root_file(place_.file, post_.invitation.meeting, *in_file_);
    in_file_.reset();
    branches_.close_door();
}

// A job's name is free again when its ranks hear of the refusal. So where it spans hosts, which do not all come at
// once, they are held back a little, to tell those who are on their way too; the root's less, to be gone when others
// return. Once there is a table, all have come, and nobody is let in any more.
void Server::close_to_newcomers(std::uint64_t hold_ms) {
    const bool may_be_late = !place_.is_one_host() && refusal_->status != Status::timeout && !table_;
    const os::Deadline until = os::Deadline::after_ms(may_be_late ? hold_ms : 0).or_abort(stopped_);
    while (until.check("ranks that are on their way"))
        static_cast<void>(serve_once());  // what one of them does wrong changes nothing any more
    static_cast<void>(lobby_.accept_all());
    lobby_.close();
    close_door();
    holds_back_ = false;
}

// The root hears of every failure, if it can be reached, and says the same to all. Of one that comes after this host
// was ready it does not hear: it may have let everybody go by then, and its word counts, whichever it is.
Result<void> Server::verdict_from_above(Error own) {
    const os::Deadline deadline = os::Deadline::after_ms(others_hear_ms).or_abort(stopped_);
    bool is_said = false;
    while (!uplink_->is_lost() && deadline.check("the verdict of the job's root")) {
        const auto frame = uplink_->advance(deadline.remaining_ms());
        if (!frame) break;
        if (*frame && (*frame)->kind == FrameKind::refusal) return std::unexpected(read_refusal((*frame)->payload));
        if (*frame && (*frame)->kind == FrameKind::go && is_ready_) {
            send_go();
            return {};
        }
        if (uplink_->has_joined() && !is_ready_ && !std::exchange(is_said, true))
            if (!uplink_->send(write_refusal(own), deadline)) break;
        std::vector<pollfd> watched;
        uplink_->watch(watched);
        if (!*frame && !os::wait_ready(watched, deadline, uplink_->wait_ms())) break;
    }
    return std::unexpected(std::move(own));
}

// They close when they have heard. Until then this process, which may end with what it hears, is not told.
void Server::tell_branches() {
    const auto refusal = write_refusal(*refusal_);
    for (Branch& child : branches_.children()) {
        child.told = true;
        if (!child.socket.send(refusal, os::Deadline::after_ms(refusal_send_ms))) child.socket.close();
    }
    const os::Deadline deadline = os::Deadline::after_ms(others_hear_ms).or_abort(stopped_);
    while (branches_.has_children() && deadline.check("other hosts to hear of a refusal"))
        static_cast<void>(serve_once());
}

void Server::count_as_told(const Guest& guest) { told_.insert(guest.ranks.begin(), guest.ranks.end()); }

void Server::close_when_all_are_told() {
    const auto expected = static_cast<std::size_t>(roll_.begun() ? roll_.agreement().rank_count : rank_count_limit);
    if (told_.size() >= expected) lobby_.close();
}

void Server::tell(Guest& guest) {
    // A peer that is gone, or that does not read, needs no answer.
    static_cast<void>(guest.socket.send(write_refusal(*refusal_), os::Deadline::after_ms(refusal_send_ms)));
    guest.socket.close();
}

void Server::linger() {
    const os::Deadline until = os::Deadline::after_ms(linger_ms).or_abort(stopped_);
    while ((lobby_.is_open() || lobby_.has_strangers() || branches_.has_children()) &&
           until.check("ranks that come late"))
        static_cast<void>(serve_once());
}

}  // namespace tenon::bootstrap
