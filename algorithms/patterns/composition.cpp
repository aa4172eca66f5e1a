#include "algorithms/patterns/composition.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace tenon {
namespace {

// In place, a rank's own block of the large buffer is the other buffer; both count as one, wherever the call has them.
ChunkIndex first_cell_of_input(const Request& request, std::uint32_t pieces) {
    return request.collective == Collective::all_gather ? static_cast<ChunkIndex>(request.rank) * pieces : 0;
}
ChunkIndex first_cell_of_output(const Request& request, std::uint32_t pieces) {
    return request.collective == Collective::reduce_scatter ? static_cast<ChunkIndex>(request.rank) * pieces : 0;
}

void keep_last(std::vector<StepRef>& steps, StepRef step) {
    const auto same = std::ranges::find(steps, step.lane, &StepRef::lane);
    if (same == steps.end())
        steps.push_back(step);
    else
        same->step = std::max(same->step, step.step);
}

}  // namespace

Composition::Composition(const Request& request, std::uint32_t pieces, bool in_one_tile)
    : request_(request), pieces_(pieces), in_one_tile_(in_one_tile), plan_(request, pieces) {
    if (in_one_tile) plan_.tile_bytes(one_tile);
}

Chunk Composition::scratch(std::uint32_t items) { return plan_.scratch({.count = items}); }

void Composition::begin_phase(const PhaseOptions& options) {
    phase_ = options;
    lanes_.clear();
    for (const Access& access : current_) {
        if (earlier_.size() <= access.cell) earlier_.resize(access.cell + 1);
        // Who wrote has waited for all before.
        if (access.writes) earlier_[access.cell] = {};
    }
    for (const Access& access : current_)
        keep_last(access.writes ? earlier_[access.cell].writers : earlier_[access.cell].readers, access.step);
    current_.clear();
}

// Cells of the caller's buffers and of scratch by turns, so that both may grow.
std::size_t Composition::cell_of(BufferId buffer, ChunkIndex index) const {
    if (buffer == BufferId::scratch) return 2 * std::size_t{index} + 1;
    const ChunkIndex first = buffer == BufferId::input ? first_cell_of_input(request_, pieces_)
                                                       : first_cell_of_output(request_, pieces_);
    return 2 * (std::size_t{first} + index);
}

LaneBuilder Composition::lane(std::size_t number) {
    while (lanes_.size() <= number) lanes_.push_back(plan_.lane());
    return lanes_[number];
}

void Composition::order(StepHandle& step, const Chunk& chunk, bool writes, std::vector<StepRef>& awaited) {
    for (ChunkIndex index = chunk.index; index < chunk.index + chunk.count; index++) {
        const std::size_t cell = cell_of(chunk.buffer, index);
        current_.push_back({cell, step.ref(), writes});
        if (cell >= earlier_.size()) continue;
        for (const StepRef earlier : earlier_[cell].writers) keep_last(awaited, earlier);
        if (!writes) continue;
        for (const StepRef earlier : earlier_[cell].readers) keep_last(awaited, earlier);
    }
}

StepHandle Composition::add(std::size_t lane_number, const Step& step, std::span<const Chunk> operands) {
    LaneBuilder to = lane(lane_number);
    StepHandle added = [&] {
        if (operands.empty()) return to.add(step);
        StepHandle reduced = sends(step.kind)
                                 ? to.reduce_send(step.destination, operands, step.send_to, step.send_channel)
                                 : to.reduce(step.destination, operands);
        if (step.source_stable) reduced.source_stable();
        return reduced.completes(step.completes).answered(step.answered);
    }();
    std::vector<StepRef> awaited;
    if (reads_source(step.kind)) order(added, step.source, false, awaited);
    if (writes_destination(step.kind)) order(added, step.destination, true, awaited);
    for (const Chunk& operand : operands) order(added, operand, false, awaited);
    for (const StepRef earlier : awaited) added.after(earlier);
    return added;
}

// Writes one inner plan into the outer one.
class Embedding {
public:
    Embedding(Composition& outer, const Plan& inner, std::span<const Rank> members,
              std::span<const std::vector<Item>> items, const Placement& placement)
        : outer_(outer), inner_(inner), members_(members), items_(items), placement_(placement) {
        TENON_ASSERT(outer.in_one_tile_ || inner.tile_bytes != one_tile, "a plan in tiles embeds plans in tiles");
        find_scratch();
        written_.resize(inner.lanes.size());
        last_new_.resize(inner.lanes.size());
    }

    void run() {
        std::size_t longest = 1;
        for (const auto& list : items_) longest = std::max(longest, list.size());
        for (std::size_t round = 0; round < (outer_.in_one_tile_ ? 1 : longest); round++) write_round(round);
    }

private:
    // Of an inner chunk's data: its k-th list, there its t-th item.
    struct Atom {
        std::uint32_t k = 0, t = 0;
    };
    // Items that travel together, from this one on.
    struct Run {
        Atom first;
        std::uint32_t count = 1;
    };

    // In which list the data of a chunk's first piece lies; that of scratch is what it is combined with.
    std::uint32_t list_of(const Chunk& chunk) const {
        if (chunk.buffer == BufferId::scratch) return list_of_cell_[chunk.index];
        const bool own = (inner_.collective == Collective::all_gather && chunk.buffer == BufferId::input) ||
                         (inner_.collective == Collective::reduce_scatter && chunk.buffer == BufferId::output);
        return own ? static_cast<std::uint32_t>(inner_.rank) * inner_.pieces + chunk.index : chunk.index;
    }

    template <class Visit>
    void each_chunk(const Step& step, Visit visit) const {
        if (reads_source(step.kind)) visit(step.source);
        if (writes_destination(step.kind)) visit(step.destination);
        for (const Chunk& operand : inner_.operands_of(step)) visit(operand);
    }

    // Everything that one step touches is the same run of data, so what lies in scratch is known from the steps that
    // use it with something of the caller's buffers. Two passes, since a message may come before the step that adds it.
    void find_scratch() {
        constexpr std::uint32_t unknown = UINT32_MAX;
        list_of_cell_.assign(inner_.scratch_cells, unknown);
        for (int pass = 0; pass < 2; pass++)
            for (const Lane& lane : inner_.lanes)
                for (const Step& step : lane.steps) {
                    std::uint32_t list = unknown;
                    each_chunk(step, [&](const Chunk& chunk) { list = std::min(list, list_of(chunk)); });
                    if (list == unknown) continue;
                    each_chunk(step, [&](const Chunk& chunk) {
                        if (chunk.buffer == BufferId::scratch)
                            for (std::uint32_t k = 0; k < chunk.count; k++) list_of_cell_[chunk.index + k] = list + k;
                    });
                }
        std::uint32_t count = 0;
        for (std::uint32_t& list : list_of_cell_) {
            if (list == unknown) list = 0;  // never used with anything: nothing is known to lie there
            first_of_cell_.push_back(count);
            count += static_cast<std::uint32_t>(items_[list].size());
        }
        if (count > 0) scratch_ = outer_.scratch(count).index;
    }

    Chunk place(const Chunk& chunk, const Run& run) const {
        const auto [k, t] = run.first;
        const Item item = items_[list_of(chunk) + k][t];
        if (chunk.buffer == BufferId::scratch)
            return {BufferId::scratch, scratch_ + first_of_cell_[chunk.index + k] + t, run.count,
                    item % outer_.pieces_};
        Chunk placed = chunk.buffer == BufferId::input ? placement_.source(item) : placement_.destination(item);
        placed.count = run.count;
        return placed;
    }

    void write_round(std::size_t round) {
        for (std::size_t l = 0; l < inner_.lanes.size(); l++) {
            written_[l].clear();
            for (const Step& step : inner_.lanes[l].steps) {
                first_new_.reset();
                write(l, step, round);
                for (const StepRef earlier : inner_.dependencies_of(step)) waiting_.push_back({l, earlier});
                if (first_new_) settle(l);
                written_[l].push_back(last_new_[l]);
            }
            std::erase_if(waiting_, [&](const Wait& wait) { return wait.lane == l; });
        }
        for (const auto& [step, earlier] : awaited_)
            if (const auto& done = written_[earlier.lane][earlier.step]) StepHandle(outer_.plan_, step).after(*done);
        awaited_.clear();
        std::ranges::fill(last_new_, std::nullopt);
    }

    // A step that was left out hands what it waits for to the next one of its lane.
    void settle(std::size_t lane) {
        for (const Wait& wait : waiting_)
            if (wait.lane == lane) awaited_.push_back({*first_new_, wait.earlier});
        std::erase_if(waiting_, [&](const Wait& wait) { return wait.lane == lane; });
    }

    // What this round moves of a step's data.
    std::vector<Run> runs_of(const Step& step, std::size_t round) const {
        std::vector<Run> runs;
        const Chunk& sized = writes_destination(step.kind) ? step.destination : step.source;
        Item next = 0;
        for (std::uint32_t k = 0; k < sized.count; k++) {
            const auto& items = items_[list_of(sized) + k];
            const std::size_t begin = outer_.in_one_tile_ ? 0 : std::min(round, items.size());
            const std::size_t end = outer_.in_one_tile_ ? items.size() : std::min(round + 1, items.size());
            for (std::size_t t = begin; t < end; t++) {
                if (outer_.in_one_tile_ && !runs.empty() && items[t] == next)
                    runs.back().count++;
                else
                    runs.push_back({.first = {k, static_cast<std::uint32_t>(t)}});
                next = items[t] + 1;
            }
        }
        return runs;
    }

    void write(std::size_t lane, const Step& inner, std::size_t round) {
        const std::vector<Run> runs = runs_of(inner, round);
        if (inner.send_to == everyone) return publish(lane, inner, runs);
        for (const Run& run : runs) write_run(lane, inner, run);
    }

    void write_run(std::size_t lane, const Step& inner, const Run& run) {
        Step step{.kind = inner.kind,
                  .completes = inner.completes && outer_.phase_.completes,
                  .source_stable = inner.source_stable,
                  .destination_free = inner.destination_free && outer_.phase_.destinations_free,
                  .answered = inner.answered};
        if (reads_source(step.kind)) step.source = place(inner.source, run);
        if (writes_destination(step.kind)) step.destination = place(inner.destination, run);
        if (step.kind == StepKind::copy && step.source == step.destination) return;
        std::vector<Chunk> operands;
        for (const Chunk& operand : inner_.operands_of(inner)) operands.push_back(place(operand, run));
        if (receives(step.kind)) {
            step.receive_from = members_[static_cast<std::size_t>(inner.receive_from)];
            step.receive_channel = channel(inner.receive_channel);
        }
        if (sends(step.kind)) {
            step.send_to = members_[static_cast<std::size_t>(inner.send_to)];
            step.send_channel = channel(inner.send_channel);
        }
        append(lane, step, operands);
    }

    Channel channel(Channel inner) const {
        return static_cast<Channel>(outer_.phase_.channel + (inner == board_channel ? 0 : inner));
    }

    // To each other member, the one behind this first: it reads what the one ahead of it publishes before all others.
    void publish(std::size_t lane, const Step& inner, std::span<const Run> runs) {
        const bool stores = inner.kind != StepKind::send;
        if (stores) {
            TENON_ASSERT(sends(inner.kind) && writes_destination(inner.kind),
                         "what is published is either sent as it lies or stored as well");
            Step stored = inner;
            stored.kind = without_sending(inner.kind);
            stored.source_stable = stored.answered = false;
            for (const Run& run : runs) write_run(lane, stored, run);
        }
        Step sent{.kind = StepKind::send, .source_stable = inner.source_stable, .answered = inner.answered,
                  .send_channel = board_channel, .source = stores ? inner.destination : inner.source};
        const auto count = static_cast<Rank>(members_.size());
        for (Rank distance = 1; distance < count; distance++) {
            sent.send_to = (inner_.rank + count - distance) % count;
            for (const Run& run : runs) write_run(lane, sent, run);
        }
    }

    void append(std::size_t lane, const Step& step, std::span<const Chunk> operands) {
        const StepRef added = outer_.add(lane, step, operands).ref();
        if (!first_new_) first_new_ = added;
        last_new_[lane] = added;
    }

    struct Wait {
        std::size_t lane;
        StepRef earlier;  // of the inner plan
    };
    struct Await {
        StepRef step;     // of the outer plan
        StepRef earlier;  // of the inner plan
    };

    Composition& outer_;
    const Plan& inner_;
    std::span<const Rank> members_;
    std::span<const std::vector<Item>> items_;
    const Placement& placement_;
    std::vector<std::uint32_t> list_of_cell_;   // by inner scratch cell
    std::vector<std::uint32_t> first_of_cell_;  // its first cell of the outer scratch, counted from scratch_
    ChunkIndex scratch_ = 0;
    // Of this round, by inner lane and step: the last outer step of the lane when that step was written.
    std::vector<std::vector<std::optional<StepRef>>> written_;
    std::vector<std::optional<StepRef>> last_new_;  // by inner lane
    std::optional<StepRef> first_new_;  // of the step being written
    std::vector<Wait> waiting_;
    std::vector<Await> awaited_;
};

void Composition::embed(const Plan& inner, std::span<const Rank> members, std::span<const std::vector<Item>> items,
                        const Placement& placement) {
    Embedding(*this, inner, members, items, placement).run();
}

}  // namespace tenon
