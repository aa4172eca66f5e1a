#include "communicator/traffic.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace tenon {

PeerLevels::PeerLevels(const Topology& topology, Rank own, std::span<const std::int32_t> hosts)
    : own_(own), count_(std::max<std::size_t>(topology.levels.size(), 1)) {
    const auto self = static_cast<std::size_t>(own);
    for (std::size_t peer = 0; peer < hosts.size(); peer++) {
        std::size_t level = 0;
        while (level + 1 < count_ &&
               topology.levels[level].group_of[peer] != topology.levels[level].group_of[self])
            level++;
        kinds_.push_back(static_cast<std::uint16_t>(2 * level + (hosts[peer] != hosts[self] ? 1 : 0)));
    }
}

namespace {

std::uint64_t messages_of(const Operation& o, std::uint64_t tile_bytes) {
    if (o.bytes == 0) return o.token ? 1 : 0;
    return (o.bytes + tile_bytes - 1) / tile_bytes;
}

}  // namespace

ProgramTraffic ProgramTraffic::of(const Program& program, const PeerLevels& levels) {
    std::vector<Part> by_kind(2 * levels.count());
    for (const Operation& o : program.operations) {
        if (!sends(o.kind)) continue;
        const std::uint64_t messages = messages_of(o, program.tile_bytes);
        const auto count = [&](Rank peer) {
            Part& part = by_kind[levels.kind_of(peer)];
            part.bytes += o.bytes;
            part.messages += messages;
        };
        if (!o.sends_to_all) {
            count(o.send_to);
            continue;
        }
        for (Rank peer = 0; peer < levels.rank_count(); peer++)
            if (peer != levels.own()) count(peer);
    }
    ProgramTraffic traffic;
    for (std::size_t kind = 0; kind < by_kind.size(); kind++) {
        if (by_kind[kind].messages == 0) continue;
        traffic.parts.push_back({kind, by_kind[kind].bytes, by_kind[kind].messages});
    }
    return traffic;
}

LevelTraffic Traffic::at(std::size_t level) const {
    TENON_ASSERT(level < levels_->count(), "there is no such level");
    const Counter &near = counters_[2 * level], &far = counters_[2 * level + 1];
    const std::uint64_t inside = near.bytes.load(std::memory_order_relaxed),
                        leaving = far.bytes.load(std::memory_order_relaxed);
    return {.bytes = inside + leaving,
            .bytes_leaving_host = leaving,
            .messages = near.messages.load(std::memory_order_relaxed) + far.messages.load(std::memory_order_relaxed)};
}

}  // namespace tenon
