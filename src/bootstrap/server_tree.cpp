// What a server hears from the hosts below it and above it.
#include <fmt/format.h>

#include "base/log.hpp"
#include "bootstrap/interfaces.hpp"
#include "bootstrap/server.hpp"

namespace tenon::bootstrap {
namespace {

std::unexpected<Error> out_of_turn(std::string_view who) {
    return fail(Status::internal_error, fmt::format("{} said what is not its turn to say", who));
}

}  // namespace

Result<void> Server::take_from_branch(Branch& branch, Frame& frame) {
    switch (frame.kind) {
        case FrameKind::refusal:
            return std::unexpected(read_refusal(frame.payload));
        case FrameKind::host:
            if (auto taken = take_host(branch, frame); !taken) return taken;
            break;
        case FrameKind::ranks:
            if (auto taken = take_ranks(branch, frame); !taken) return taken;
            break;
        case FrameKind::note:
            if (auto taken = take_note(frame); !taken) return taken;
            break;
        case FrameKind::ready:
            branch.ready = true;
            return {};
        default:
            return out_of_turn(branch.text());
    }
    if (uplink_) to_pass_up_.push_back(write_frame(frame.kind, frame.payload));
    return {};
}

// A host introduces itself before those below it.
Result<void> Server::take_host(Branch& branch, const Frame& frame) {
    const auto host = read_host(frame.payload);
    if (!host) return std::unexpected(host.error());
    if (!branch.introduced) {
        branch.introduced = true;
        branch.node = host->node;
        branch.name = host->name;
    }
    if (uplink_) return {};
    shorten(host->first.patience_ms);
    roll_.name_hosts();
    return roll_.enter_host(*host);
}

Result<void> Server::take_note(const Frame& frame) {
    const auto note = read_note(frame.payload);
    if (!note) return std::unexpected(note.error());
    if (!uplink_) roll_.enter(*note);
    return {};
}

Result<void> Server::take_ranks(Branch& branch, const Frame& frame) {
    const auto rows = read_rows(frame.payload);
    if (!rows) return std::unexpected(rows.error());
    if (!uplink_) shorten(rows->patience_ms);
    for (const Introduction& who : rows->ranks) {
        if (rows->node == branch.node) branch.ranks.push_back(who.rank);
        if (uplink_) continue;
        if (auto entered = roll_.enter(rows->node, who); !entered) return entered;
    }
    return {};
}

// After "go" the edge belongs to whoever gets it next, and so does all that comes over it.
Result<void> Server::serve_uplink() {
    while (!may_go_) {
        const auto frame = uplink_->advance(meeting_deadline_.remaining_ms());
        if (!frame) {
            refused_from_above_ = !uplink_->has_joined();
            return std::unexpected(frame.error());
        }
        // Only who has joined takes others in: so none can come to be below itself.
        if (uplink_->has_door() && uplink_->has_joined()) {
            own_address_ = uplink_->listens();
            branches_.open(uplink_->take_door(), uplink_->secret(), post_.network.patience_ms);
        }
        if (!*frame) return pass_up();
        if (auto taken = take_from_above(**frame); !taken) return taken;
    }
    return {};
}

Result<void> Server::take_from_above(const Frame& frame) {
    if (frame.kind == FrameKind::refusal) {
        refused_from_above_ = true;
        return std::unexpected(read_refusal(frame.payload));
    }
    if (frame.kind == FrameKind::go && table_) {
        may_go_ = true;
        return {};
    }
    if (frame.kind != FrameKind::table || table_) return out_of_turn("the host above this one");
    auto table = read_table(frame.payload);
    if (!table) return std::unexpected(table.error());
    table_ = std::move(*table);
    table_frame_ = write_frame(frame.kind, frame.payload);
    return {};
}

// A parent that is gone may have left its reason to be read.
Result<void> Server::send_up(const Bytes& frame) {
    auto sent = uplink_->send(frame, sending());
    return sent || sent.error().status == Status::remote_error ? Result<void>{} : sent;
}

// A host says who it is at once, so that it is missed if it ends; of its ranks it tells when packets have been tried.
Result<void> Server::pass_up() {
    if (!uplink_->has_joined() || (!has_introduced_host_ && to_introduce_.empty())) return {};
    const std::uint64_t patience_ms = meeting_deadline_.remaining_ms();
    if (!has_introduced_host_) {
        HostHello host{node_, host_, to_introduce_.front(), own_network()};
        host.first.patience_ms = patience_ms;
        if (auto sent = send_up(write_host(host)); !sent) return sent;
        has_introduced_host_ = true;
        log(LogLevel::debug, "joined the rendezvous at {}", uplink_->parent_address().text());
    }
    if (!uplink_->is_checked()) return {};
    for (const Bytes& note : notes_to_pass_up_)
        if (auto sent = send_up(note); !sent) return sent;
    notes_to_pass_up_.clear();
    RankRows rows{node_, patience_ms, {}};
    for (std::size_t i = 0; i < to_introduce_.size(); i++) {
        rows.ranks.push_back(to_introduce_[i].who);
        complete_address(rows.ranks.back());
        if (rows.ranks.size() < rows_limit && i + 1 < to_introduce_.size()) continue;
        if (auto sent = send_up(write_rows(rows)); !sent) return sent;
        rows.ranks.clear();
    }
    to_introduce_.clear();
    for (const Bytes& frame : to_pass_up_)
        if (auto sent = send_up(frame); !sent) return sent;
    to_pass_up_.clear();
    return {};
}

// A process that takes data at all of this host's addresses leaves it to its node to say at which.
void Server::complete_address(Introduction& who) const {
    if (!is_everywhere(who.address)) return;
    who.address = own_address_.valid() ? own_address_.with_port(who.address.port) : os::InternetAddress{};
}

HostNetwork Server::own_network() const { return own_address_.valid() ? network_of(own_address_) : HostNetwork{}; }

}  // namespace tenon::bootstrap
