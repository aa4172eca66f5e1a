// Writes a Plan step by step; what an algorithm file uses.
//
//   PlanBuilder plan{request, pieces};
//   auto lane = plan.lane();
//   lane.send(plan.input(0), peer);
//   lane.receive_reduce(plan.output(0), plan.input(0), peer).completes();
//   return plan.finish();
//
// Steps are appended in program order. Every method checks its arguments by assertion: a wrong index is a mistake of
// the algorithm's author, not of the world. Not thread-safe; a builder makes one plan.
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "tenon/plugin/plan.hpp"

#pragma GCC visibility push(default)  // plugin modules call what is declared here
namespace tenon {

class PlanBuilder;

// A step just added; lets more be said of it. Valid until finish().
class StepHandle {
public:
    StepHandle(PlanBuilder& builder, StepRef at) : builder_(&builder), at_(at) {}
    StepHandle& after(StepRef earlier);       // waits for the same tile of that step
    StepHandle& after(const StepHandle& earlier) { return after(earlier.at_); }
    StepHandle& completes(bool yes = true);   // see Step::completes
    StepHandle& source_stable();              // see Step::source_stable
    StepHandle& destination_free();           // see Step::destination_free
    StepHandle& answered(bool yes = true);    // see Step::answered
    StepRef ref() const { return at_; }

private:
    PlanBuilder* builder_;
    StepRef at_;
};

class LaneBuilder {
public:
    LaneBuilder(PlanBuilder& builder, std::uint32_t lane) : builder_(&builder), lane_(lane) {}
    StepHandle send(const Chunk& source, Rank to, Channel channel = 0);
    StepHandle publish(const Chunk& source);  // to everyone, on the board
    StepHandle receive(const Chunk& destination, Rank from, Channel channel = 0);
    StepHandle receive_published(const Chunk& destination, Rank from);
    StepHandle receive_send(const Chunk& destination, Rank from, Rank to, Channel channel = 0);
    StepHandle receive_reduce(const Chunk& destination, const Chunk& source, Rank from, Channel channel = 0);
    // Sends `source`, and destination = source + what `peer` sends of the same chunk, and does with this rank's.
    StepHandle exchange_reduce(const Chunk& destination, const Chunk& source, Rank peer, Channel channel = 0);
    StepHandle receive_reduce_send(const Chunk& source, Rank from, Rank to, Channel channel = 0);
    // The receiving and the sending channel may differ, so that raw and reduced data do not mix.
    StepHandle receive_reduce_copy_send(const Chunk& destination, const Chunk& source, Rank from, Rank to,
                                        Channel receive_channel = 0, Channel send_channel = 0);
    StepHandle receive_reduce_publish(const Chunk& destination, const Chunk& source, Rank from, Channel channel = 0);
    StepHandle copy(const Chunk& destination, const Chunk& source);
    StepHandle reduce(const Chunk& destination, std::span<const Chunk> operands);
    StepHandle reduce_send(const Chunk& destination, std::span<const Chunk> operands, Rank to, Channel channel = 0);
    StepHandle reduce_publish(const Chunk& destination, std::span<const Chunk> operands);
    StepHandle nothing();
    StepHandle add(const Step& step);  // any step, for importers

private:
    PlanBuilder* builder_;
    std::uint32_t lane_;
};

class PlanBuilder {
public:
    explicit PlanBuilder(const Request& request, std::uint32_t pieces = 1);

    Chunk input(ChunkIndex index, std::uint32_t count = 1) const;
    Chunk output(ChunkIndex index, std::uint32_t count = 1) const;
    Chunk scratch(const Chunk& like);  // new cells, with the lengths of `like`
    Chunk block_of_input(Rank block) const {
        return input(static_cast<ChunkIndex>(block) * plan_.pieces, plan_.pieces);
    }
    Chunk block_of_output(Rank block) const {
        return output(static_cast<ChunkIndex>(block) * plan_.pieces, plan_.pieces);
    }
    Chunk chunk(BufferId buffer, ChunkIndex index, std::uint32_t count) const;

    LaneBuilder lane();
    void tile_bytes(std::uint64_t bytes) { plan_.tile_bytes = bytes; }
    Result<Plan> finish();

private:
    friend class StepHandle;
    friend class LaneBuilder;
    StepHandle append(std::uint32_t lane, Step step, std::span<const Chunk> operands = {});
    Step& step(StepRef at) { return plan_.lanes[at.lane].steps[at.step]; }
    bool holds(const Chunk& chunk) const;
    bool is_peer(Rank rank, Channel channel) const;

    struct Dependency {
        StepRef step, earlier;
    };
    Plan plan_;
    std::vector<Dependency> dependencies_;
};

}  // namespace tenon
#pragma GCC visibility pop
