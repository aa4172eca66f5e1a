// Hierarchical all-to-all: within each level, from the inside out, blocks go to the rank that carries their receiver's
// across the next; so a rank sends one message to a group, with all that the ranks around it have for one rank there.
//
// Vocabulary: carriers and levels are those of patterns/hierarchy.hpp; the items are the receivers. Before the hop of a
// level this rank holds, for every receiver that it carries, a block of each *sender* of its group of the level inside.
// Cost: with h equal groups of g ranks, a rank sends g - 1 messages of h blocks within and h - 1 messages of g blocks
// between, where direct sends (h - 1) g; every block is copied into its message once a level. Best for small blocks
// where messages between groups are dear.
// Needs: scratch for twice the blocks of each hop, hence a limit on the block. Groups may be of any size, levels of any
// number. Without levels it is direct.
// Source: HCCL's all-to-all (within servers, then between); Träff and Rougier, MPI Collectives and Datatypes for
// Hierarchical All-to-all Communication, EuroMPI 2014, for any number of levels.
//
// A message's blocks are in the order of receivers, and for each in that of senders; both sides know it. Blocks are
// packed into runs, so chunks are not cut in tiles. Each hop has a lane for sends and one for receives.
#include <algorithm>
#include <map>

#include "algorithms/all_to_all/algorithms.hpp"
#include "algorithms/patterns/hierarchy.hpp"
#include "algorithms/patterns/one_rank.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace tenon {
namespace {

struct Block {
    Chunk at;
    std::optional<StepRef> arrived;
};

// What a rank holds: a block of each sender for each receiver.
struct Held {
    std::vector<Rank> receivers, senders;
    std::vector<Block> blocks;  // by receiver, then by sender
};

Chunk run_of(const Chunk& first, std::size_t count) {
    return {first.buffer, first.index, static_cast<std::uint32_t>(count), 0};
}

bool are_neighbours(std::span<const Block> blocks) {
    for (std::size_t i = 1; i < blocks.size(); i++)
        if (blocks[i].at.buffer != blocks[0].at.buffer || blocks[i].at.index != blocks[0].at.index + i) return false;
    return true;
}

class Hops {
public:
    Hops(const Request& request, const Hierarchy& hierarchy)
        : rank_(request.rank), hierarchy_(hierarchy), plan_(request) {
        plan_.tile_bytes(one_tile);
        held_.senders = {rank_};
        for (Rank receiver = 0; receiver < request.rank_count; receiver++) {
            held_.receivers.push_back(receiver);
            held_.blocks.push_back({plan_.block_of_input(receiver), {}});
        }
    }

    Result<Plan> run() {
        for (std::size_t level = 1; level <= hierarchy_.depth(); level++)
            if (hierarchy_.parts(level, hierarchy_.group_of(level, rank_)).size() > 1) hop(level);
        auto last = plan_.lane();
        for (std::size_t i = 0; i < held_.senders.size(); i++) {
            const Chunk place = plan_.block_of_output(held_.senders[i]);
            if (held_.blocks[i].at.buffer == BufferId::output) continue;
            auto copied = last.copy(place, held_.blocks[i].at);
            if (held_.blocks[i].arrived) copied.after(*held_.blocks[i].arrived);
        }
        return plan_.finish();
    }

private:
    void hop(std::size_t level) {
        const std::int32_t group = hierarchy_.group_of(level, rank_);
        std::map<Rank, std::vector<std::size_t>> messages;  // by rank of the group: which receivers' blocks
        for (std::size_t r = 0; r < held_.receivers.size(); r++)
            messages[hierarchy_.carrier(level, group, held_.receivers[r])].push_back(r);
        auto sends = plan_.lane();
        // Part after part ahead, as receivers take from part after part behind: nobody waits in a circle.
        const std::size_t parts = hierarchy_.parts(level, group).size(), own = hierarchy_.part_index(level, rank_);
        for (std::size_t distance = 1; distance < parts; distance++)
            for (const auto& [to, receivers] : messages)
                if (hierarchy_.part_index(level, to) == (own + distance) % parts) send(sends, to, receivers);
        held_ = received(level);
    }

    void send(LaneBuilder& lane, Rank to, const std::vector<std::size_t>& receivers) {
        std::vector<Block> blocks;
        for (const std::size_t r : receivers) {
            const auto first = held_.blocks.begin() + static_cast<std::ptrdiff_t>(r * held_.senders.size());
            blocks.insert(blocks.end(), first, first + static_cast<std::ptrdiff_t>(held_.senders.size()));
        }
        if (are_neighbours(blocks)) {
            auto sent = lane.send(run_of(blocks[0].at, blocks.size()), to).source_stable();
            for (const Block& block : blocks)
                if (block.arrived) sent.after(*block.arrived);
            return;
        }
        const Chunk parcel = plan_.scratch({.count = static_cast<std::uint32_t>(blocks.size())});
        std::uint32_t packed = 0;
        for (const Block& block : blocks) {
            auto copied = lane.copy({BufferId::scratch, parcel.index + packed++, 1, 0}, block.at);
            if (block.arrived) copied.after(*block.arrived);
        }
        lane.send(parcel, to).source_stable();
    }

    Held received(std::size_t level) {
        Held next;
        const std::int32_t group = hierarchy_.group_of(level, rank_);
        std::vector<std::vector<Rank>> senders(hierarchy_.parts(level, group).size());  // by part
        for (Rank sender = 0; sender < hierarchy_.rank_count(); sender++)
            if (hierarchy_.group_of(level, sender) == group) {
                next.senders.push_back(sender);
                senders[hierarchy_.part_index(level, sender)].push_back(sender);
            }
        for (Rank receiver = 0; receiver < hierarchy_.rank_count(); receiver++)
            if (hierarchy_.carrier(level, group, receiver) == rank_) next.receivers.push_back(receiver);
        next.blocks.resize(next.receivers.size() * next.senders.size());

        const std::size_t own = hierarchy_.part_index(level, rank_);
        auto lane = plan_.lane();
        for (std::size_t distance = 0; distance < senders.size(); distance++) {
            const std::size_t part = (own + senders.size() - distance) % senders.size();
            if (distance == 0)
                keep(next, senders[part]);
            else
                receive(lane, level, next, senders[part], hierarchy_.parts(level, group)[part]);
        }
        return next;
    }

    std::size_t place_of(const Held& held, std::size_t receiver, Rank sender) const {
        const auto found = std::ranges::lower_bound(held.senders, sender);
        return receiver * held.senders.size() + static_cast<std::size_t>(found - held.senders.begin());
    }

    // What this rank's own group of the level inside has for the receivers that it goes on carrying.
    void keep(Held& next, std::span<const Rank> senders) const {
        for (std::size_t r = 0; r < next.receivers.size(); r++) {
            const auto before = std::ranges::lower_bound(held_.receivers, next.receivers[r]);
            if (before == held_.receivers.end() || *before != next.receivers[r]) continue;
            const auto at = static_cast<std::size_t>(before - held_.receivers.begin());
            for (const Rank sender : senders)
                next.blocks[place_of(next, r, sender)] = held_.blocks[place_of(held_, at, sender)];
        }
    }

    // From each rank of that part that carries some of this one's receivers.
    void receive(LaneBuilder& lane, std::size_t level, Held& next, std::span<const Rank> senders, std::int32_t part) {
        std::map<Rank, std::vector<std::size_t>> messages;
        for (std::size_t r = 0; r < next.receivers.size(); r++)
            messages[hierarchy_.carrier(level - 1, part, next.receivers[r])].push_back(r);
        const bool is_in_place = level == hierarchy_.depth() &&
                                 senders.back() - senders.front() + 1 == static_cast<Rank>(senders.size());
        for (const auto& [from, receivers] : messages) {
            const std::size_t count = receivers.size() * senders.size();
            const Chunk arrived = is_in_place ? plan_.output(static_cast<ChunkIndex>(senders.front()),
                                                             static_cast<std::uint32_t>(count))
                                              : plan_.scratch({.count = static_cast<std::uint32_t>(count)});
            const StepRef step = lane.receive(arrived, from).destination_free().ref();
            std::uint32_t taken = 0;
            for (const std::size_t r : receivers)
                for (const Rank sender : senders)
                    next.blocks[place_of(next, r, sender)] = {{arrived.buffer, arrived.index + taken++, 1, 0}, step};
        }
    }

    Rank rank_;
    const Hierarchy& hierarchy_;
    PlanBuilder plan_;
    Held held_;
};

}  // namespace

Result<Plan> hierarchical_all_to_all(const Request& request, const Topology& topology) {
    if (request.rank_count == 1) return plan_for_one_rank(request);
    const auto hierarchy = Hierarchy::of(topology, request.rank_count);
    if (!hierarchy) return std::unexpected(hierarchy.error());
    return Hops{request, *hierarchy}.run();
}

}  // namespace tenon
