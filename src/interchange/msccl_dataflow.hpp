// Runs an MSCCL program symbolically: which contributions each chunk holds after each step, and what that says of how
// the steps must be written as a plan.
//
// Memory is numbered in cells, one per chunk, so that an input chunk which is the same memory as an output chunk (in
// place) has one number. A cell's *initial* content is that of the input until a step writes it.
#pragma once

#include "interchange/msccl_program.hpp"

namespace tenon::msccl {

using Cell = std::uint32_t;  // of one gpu

// Output chunks first, then the input chunks that are not output chunks too, then scratch.
class Cells {
public:
    explicit Cells(const Program& program);

    // The output chunk that is the same memory as this input chunk.
    std::optional<std::uint32_t> output_chunk_of(Rank gpu, std::uint32_t input_chunk) const;
    Cell cell(Rank gpu, const Place& place, std::uint32_t nth) const;  // of the nth chunk from that place
    std::uint32_t count(Rank gpu) const { return outputs_ + inputs_ + scratch_[static_cast<std::size_t>(gpu)]; }
    std::uint32_t outputs() const { return outputs_; }
    std::uint32_t inputs() const { return inputs_; }

private:
    Collective collective_;
    bool in_place_;
    std::uint32_t pieces_, inputs_, outputs_;
    std::vector<std::uint32_t> scratch_;  // by gpu
};

// A chunk that a step reads or writes.
struct Operand {
    Cell cell = 0;
    bool is_initial = false;  // read before any step wrote it: it is the input's
    ChunkIndex input = 0;     // which chunk of the input, if so
};

// What a step does to one of its chunks.
struct Move {
    Operand source{}, destination{};  // where the step has one; `re` reads its destination too
    bool completes = false;           // the result is the sum over all gpus, and none of its parts was
    ChunkIndex piece = 0;             // which piece of a block it moves, and so its length
};

struct Dataflow {
    Rank root = 0;                          // found from the data, as the format does not say it
    std::vector<std::uint32_t> first_move;  // by step, in moves
    std::vector<Move> moves;
    std::vector<bool> output_stays;  // by gpu and output chunk: no step writes it, it is right in place from the start
};

bool has_input(const Program& program, Rank gpu, Rank root);
bool has_output(const Program& program, Rank gpu, Rank root);

// Fails where the program stands still, reads what nothing wrote, adds what does not belong together, or ends with an
// output chunk that is not the collective's result: at the first such place, by name.
Result<Dataflow> follow_data(const Program& program, const Cells& cells);

// Which steps a plan must have as one step per chunk.
std::vector<bool> steps_to_split(const Program& program, const Cells& cells, const Dataflow& flow);

}  // namespace tenon::msccl
