#include "device_execution/exchange_preparation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>
#include <utility>

namespace tenon {
namespace {

// Of sends, and as many of receives.
constexpr std::size_t most_lanes = 4;
// So many peers' messages take turns, and only then the next peers'. Of all ranks: their orders must agree.
constexpr std::uint64_t rounds_at_once = 4;

}  // namespace

ExchangePreparation::ExchangePreparation(device::Device& device, DeviceLinks& links,
                                         std::span<const DeviceMessage> messages)
    : device_{device}, links_{links}, messages_{messages} {
    std::vector<const DeviceMessage*> sends, receives;
    for (const DeviceMessage& message : messages)
        if (message.peer != links.rank() && message.bytes != 0)
            (message.is_send ? sends : receives).push_back(&message);
    const std::size_t room = std::clamp<std::size_t>(device.facts().independent_streams / 2, 1, most_lanes);
    const std::size_t send_lanes = std::min(room, sends.size()), receive_lanes = std::min(room, receives.size());
    lane_count_ = std::max<std::size_t>(1, send_lanes + receive_lanes);
    deal(sends, 0, send_lanes);
    deal(receives, send_lanes, receive_lanes);
    std::ranges::sort(tiles_, {}, [](const Tile& tile) {
        return std::tuple{tile.round / rounds_at_once, tile.turn, tile.round, !tile.message->is_send};
    });
}

std::uint64_t ExchangePreparation::round_of(const DeviceMessage& message) const {
    const Rank ahead = message.is_send ? message.peer - links_.rank() : links_.rank() - message.peer;
    return static_cast<std::uint64_t>((ahead + links_.rank_count()) % links_.rank_count());
}

// Those of one peer stay in one lane and in their order.
void ExchangePreparation::deal(std::span<const DeviceMessage* const> messages, std::size_t first_lane,
                               std::size_t lanes) {
    const std::uint64_t slot = links_.slot_bytes().value;
    std::map<std::uint64_t, std::uint64_t> turns;  // by round
    for (const DeviceMessage* message : messages) {
        const std::uint64_t round = round_of(*message);
        const auto lane = static_cast<LaneNumber>(first_lane + round % lanes);
        for (std::uint64_t offset = 0; offset < message->bytes; offset += slot)
            tiles_.push_back({message, round, turns[round]++, lane, offset, std::min(slot, message->bytes - offset)});
    }
}

Result<DeviceCall> ExchangePreparation::prepare(const DeviceSum* sum) {
    call_.lane_count_ = lane_count_;
    if (sum != nullptr) {
        call_.type_ = sum->type;
        call_.op_ = sum->op;
    }
    if (auto started = start_or_join(true); !started) return std::unexpected(started.error());
    if (auto own = add_own(); !own) return std::unexpected(own.error());
    for (const Tile& tile : tiles_) {
        if (tile.message->is_send)
            add_send(tile);
        else
            add_receive(tile);
    }
    if (auto joined = start_or_join(false); !joined) return std::unexpected(joined.error());
    if (sum != nullptr && sum->elements.value != 0) {
        add_sum(*sum, 0, links_.rank_count());
        add_copy(0, sum->destination, sum->cells, sum->elements.value * element_bytes(sum->type));
    }
    if (auto cut = call_.cut_into_parts(device_); !cut) return std::unexpected(cut.error());
    return std::move(call_);
}

// The first lane runs on the caller's stream, the others beside it in between.
Result<void> ExchangePreparation::start_or_join(bool starts) {
    device::Event* begin = nullptr;
    for (LaneNumber lane = 1; lane < lane_count_; lane++) {
        if (!starts || begin == nullptr) {
            const auto made = call_.new_event(device_);
            if (!made) return std::unexpected(made.error());
            begin = *made;
            call_.operations_.push_back({.kind = StreamOperation::Kind::record_event, .lane = starts ? 0 : lane,
                                         .event = begin});
        }
        call_.operations_.push_back({.kind = StreamOperation::Kind::wait_event, .lane = starts ? lane : 0,
                                     .event = begin});
    }
    return {};
}

Result<void> ExchangePreparation::add_own() {
    std::vector<const DeviceMessage*> sent, received;
    for (const DeviceMessage& message : messages_)
        if (message.peer == links_.rank()) (message.is_send ? sent : received).push_back(&message);
    const auto bytes = [](const DeviceMessage* message) { return message->bytes; };
    if (!std::ranges::equal(sent, received, {}, bytes, bytes))
        return fail(Status::invalid_usage,
                    fmt::format("rank {}: the group's sends to this rank itself and its receives do not match: {} "
                                "sends, {} receives, in order of equal sizes",
                                links_.rank(), sent.size(), received.size()));
    for (std::size_t i = 0; i < sent.size(); i++) add_copy(0, received[i]->address, sent[i]->address, sent[i]->bytes);
    return {};
}

void ExchangePreparation::add_send(const Tile& tile) {
    DeviceLinks::SendEnd& end = links_.send_end(tile.message->peer, links_.exchange_channel());
    const std::size_t slot = end.exchanged++ % DeviceLinks::slots_per_channel;
    call_.operations_.push_back(
        {.kind = StreamOperation::Kind::wait_notify, .lane = tile.lane, .notify = end.free[slot].get()});
    add_copy(tile.lane, end.slots[slot], tile.message->address + tile.offset, tile.bytes);
    call_.operations_.push_back(
        {.kind = StreamOperation::Kind::record_notify, .lane = tile.lane, .notify = end.arrived[slot].get()});
    call_.count_sent(tile.message->peer, tile.bytes);
}

void ExchangePreparation::add_receive(const Tile& tile) {
    DeviceLinks::ReceiveEnd& end = links_.receive_end(tile.message->peer, links_.exchange_channel());
    const std::size_t slot = end.exchanged++ % DeviceLinks::slots_per_channel;
    call_.operations_.push_back(
        {.kind = StreamOperation::Kind::wait_notify, .lane = tile.lane, .notify = end.arrived[slot].get()});
    add_copy(tile.lane, tile.message->address + tile.offset, end.slots[slot], tile.bytes);
    call_.operations_.push_back(
        {.kind = StreamOperation::Kind::record_notify, .lane = tile.lane, .notify = end.free[slot].get()});
}

// Into the first cell of [first, end): the tree splits at the largest power of two below its size.
void ExchangePreparation::add_sum(const DeviceSum& sum, Rank first, Rank end) {
    if (end - first < 2) return;
    const Rank middle = first + static_cast<Rank>(std::bit_floor(static_cast<std::uint32_t>(end - first - 1)));
    add_sum(sum, first, middle);
    add_sum(sum, middle, end);
    call_.operations_.push_back({.kind = StreamOperation::Kind::reduce,
                                 .destination = sum.cells + static_cast<std::uint64_t>(first) * sum.stride,
                                 .source = sum.cells + static_cast<std::uint64_t>(middle) * sum.stride,
                                 .count = sum.elements.value});
}

void ExchangePreparation::add_copy(LaneNumber lane, void* destination, const void* source, std::uint64_t bytes) {
    if (bytes == 0 || destination == source) return;
    call_.operations_.push_back({.kind = StreamOperation::Kind::copy,
                                 .lane = lane,
                                 .destination = destination,
                                 .source = source,
                                 .count = bytes});
}

}  // namespace tenon
