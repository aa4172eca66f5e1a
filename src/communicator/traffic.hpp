// What a rank has sent to others, by level of its topology: bytes of payload and messages.
//
// A pair of ranks belongs to the innermost level that has both in one group. Which of these bytes left the host is
// counted apart, since levels need not follow hosts (TENON_GROUPS).
//
// What a program sends is the same each time it runs. So it is summed up once, when the program is prepared, and a call
// adds one sum for each level that it uses, and nothing for each message.
//
// Threads: one at a time adds, who has the communicator's turn; any may read at any time. Only a total that nothing
// adds to meanwhile is exact.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "execution/program.hpp"
#include "tenon/plugin/topology.hpp"

namespace tenon {

// Where each rank is as one of them sees it. Immutable.
class PeerLevels {
public:
    // `hosts` has the number of each rank's host.
    PeerLevels(const Topology& topology, Rank own, std::span<const std::int32_t> hosts);
    std::size_t count() const { return count_; }
    Rank rank_count() const { return static_cast<Rank>(kinds_.size()); }
    Rank own() const { return own_; }
    // 2 * level, and one more where the peer is on another host.
    std::size_t kind_of(Rank peer) const { return kinds_[static_cast<std::size_t>(peer)]; }

private:
    Rank own_;
    std::size_t count_;
    std::vector<std::uint16_t> kinds_;
};

// What one run of a program sends, by kind of peer.
struct ProgramTraffic {
    struct Part {
        std::size_t kind = 0;
        std::uint64_t bytes = 0, messages = 0;
        friend bool operator==(const Part&, const Part&) = default;
    };
    std::vector<Part> parts{};

    // What is published to all counts once for each of them.
    static ProgramTraffic of(const Program& program, const PeerLevels& levels);
};

struct LevelTraffic {
    std::uint64_t bytes = 0;
    std::uint64_t bytes_leaving_host = 0;  // of `bytes`
    std::uint64_t messages = 0;
    friend bool operator==(const LevelTraffic&, const LevelTraffic&) = default;
};

class Traffic {
public:
    Traffic() = default;
    explicit Traffic(std::shared_ptr<const PeerLevels> levels)
        : levels_(std::move(levels)), counters_(std::make_unique<Counter[]>(2 * levels_->count())) {}

    void add(const ProgramTraffic& traffic) {
        for (const ProgramTraffic::Part& part : traffic.parts) counters_[part.kind].add(part.bytes, part.messages);
    }
    void add(Rank peer, std::uint64_t bytes, std::uint64_t messages) {
        counters_[levels_->kind_of(peer)].add(bytes, messages);
    }
    LevelTraffic at(std::size_t level) const;
    const std::shared_ptr<const PeerLevels>& levels() const { return levels_; }

private:
    // A line of its own: the next one may belong to another rank of the process.
    struct alignas(cache_line_bytes) Counter {
        std::atomic<std::uint64_t> bytes{0}, messages{0};
        void add(std::uint64_t more_bytes, std::uint64_t more_messages) {
            bytes.store(bytes.load(std::memory_order_relaxed) + more_bytes, std::memory_order_relaxed);
            messages.store(messages.load(std::memory_order_relaxed) + more_messages, std::memory_order_relaxed);
        }
    };

    std::shared_ptr<const PeerLevels> levels_;
    std::unique_ptr<Counter[]> counters_;
};

}  // namespace tenon
