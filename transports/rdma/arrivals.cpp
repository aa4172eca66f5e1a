// What a peer has sent: heads, and what each of them says or brings.
#include <cstring>

#include "transports/rdma/rdma_connection.hpp"

namespace tenon::rdma {

void RdmaConnection::arrived(std::uint32_t number, std::span<const std::byte> bytes) {
    Path& path = paths_[number];
    if (error_ || stage_ == Stage::ended || path.state() == Path::State::closed) return;
    path.count_receive();
    const auto too_few = [&] { fail_with(broken("it sent what breaks the protocol: too few bytes")); };
    if (bytes.size() < small_head_bytes) return too_few();
    const WireHead head = head_of(bytes.data());  // of a slot, which is longer than that
    if (bytes.size() < head_bytes(head)) return too_few();
    if (!path.received(head)) return fail_with(broken("it granted more receives than it has"));
    if (auto taken = take(head, bytes.subspan(head_bytes(head))); !taken) fail_with(taken.error());
}

// With the bytes, which are already where they were to be put.
void RdmaConnection::put_arrived(std::uint32_t number, std::uint32_t immediate) {
    Path& path = paths_[number];
    if (error_ || stage_ == Stage::ended || path.state() == Path::State::closed) return;
    path.count_receive();
    if (auto taken = take_put(read_immediate(immediate)); !taken) fail_with(taken.error());
}

Result<void> RdmaConnection::take_put(const PutNotice& put) {
    const auto unknown = [this] {
        return std::unexpected(
            broken("it sent what breaks the protocol: a message that was put where nothing was offered"));
    };
    if (put.channel >= max_channels) return unknown();
    auto& told = rings_[put.channel].told;
    const auto* const offer = told.find(put.number);
    if (offer == nullptr) return unknown();
    const auto at = mirror(put.channel);
    if (!at) return std::unexpected(at.error());
    const auto ok = (*at)->take_put({.kind = put.kind, .channel = put.channel, .signature = offer->signature,
                                     .number = offer->number, .length = offer->length});
    if (!ok) return std::unexpected(broken(ok.error().message));
    told.over(offer->number);
    return {};
}

Result<void> RdmaConnection::take(const WireHead& head, std::span<const std::byte> bytes) {
    switch (head.note) {
        case Note::grant: return {};
        case Note::ring: return take_ring(head, bytes);
        case Note::offers: return take_offers(head, bytes);
        case Note::path_lost: return take_path_lost(head);
        case Note::frame: break;
        default: return std::unexpected(broken("it sent what breaks the protocol: a note of no known kind"));
    }
    if (head.frame.kind == FrameKind::goodbye) {
        stage_ = Stage::ended;
        return {};
    }
    return take_frame(head, bytes);
}

Result<void> RdmaConnection::take_ring(const WireHead& head, std::span<const std::byte> bytes) {
    if (head.channel >= max_channels || rings_[head.channel].is_known || bytes.size() != sizeof(Keys))
        return std::unexpected(broken("it sent what breaks the protocol: a ring of no channel, or told twice"));
    const auto at = mirror(head.channel);
    if (!at) return std::unexpected(at.error());
    if ((*at)->incoming_payloads().size() != head.size)
        return std::unexpected(
            lost("its rings have another shape", "set the same TENON_SLOT_MEMORY_BYTES on every rank"));
    Ring& ring = rings_[head.channel];
    ring.is_known = true;
    ring.peer_address = head.place;
    std::memcpy(&ring.peer_keys, bytes.data(), sizeof ring.peer_keys);
    return {};
}

Result<void> RdmaConnection::take_offers(const WireHead& head, std::span<const std::byte> bytes) {
    if (head.channel >= max_channels)
        return std::unexpected(broken("it sent what breaks the protocol: offers of no channel"));
    const auto at = mirror(head.channel);
    if (!at) return std::unexpected(at.error());
    const auto any = [](const WireOffer&) { return std::string_view{}; };
    if (auto taken = rings_[head.channel].peer_offers.take(bytes, **at, any); !taken)
        return std::unexpected(broken(taken.error().message));
    return {};
}

// Where the peer would have written it.
Result<void> RdmaConnection::place(const WireHead& head, std::span<const std::byte> bytes, const Mirror& mirror) const {
    const auto ring = mirror.incoming_payloads();
    if (bytes.size() != head.frame.length || bytes.size() > ring.size() || head.place > ring.size() - bytes.size())
        return std::unexpected(broken("it sent what breaks the protocol: a message of a wrong length or place"));
    std::memcpy(ring.data() + head.place, bytes.data(), bytes.size());
    return {};
}

Result<void> RdmaConnection::take_frame(const WireHead& head, std::span<const std::byte> bytes) {
    const FrameHead& frame = head.frame;
    if (frame.kind < FrameKind::packed || frame.kind > FrameKind::credit || frame.channel >= max_channels ||
        !rings_[frame.channel].is_told)
        return std::unexpected(broken("it sent what breaks the protocol: a frame of no known kind"));
    const auto at = mirror(frame.channel);
    if (!at) return std::unexpected(at.error());
    if (frame.kind == FrameKind::medium || frame.kind == FrameKind::large) {
        if (!bytes.empty())
            if (auto ok = place(head, bytes, **at); !ok) return ok;
        const auto ok = head.place == put_place ? (*at)->take_put(frame) : (*at)->take_placed(frame, head.place);
        if (!ok) return std::unexpected(broken(ok.error().message));
        rings_[frame.channel].told.over(frame.number);
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
