// Numbers the pieces of memory of one rank, so that a piece which is input and output at once has one number.
#pragma once

#include "tenon/plugin/plan.hpp"

namespace tenon {

using Cell = std::uint32_t;

class MemoryMap {
public:
    // In place means what plan.hpp's table says; where it says nothing, input and output are apart all the same.
    MemoryMap(const Plan& plan, bool in_place) {
        const Cell inputs = plan.input_blocks * plan.pieces;
        const Cell outputs = plan.output_blocks * plan.pieces;
        const Cell own_block = static_cast<Cell>(plan.rank) * plan.pieces;
        const bool overlaps = in_place && inputs != 0 && outputs != 0 && plan.collective != Collective::all_to_all;
        first_[1] = overlaps && inputs > outputs ? own_block : overlaps ? 0 : inputs;
        first_[0] = overlaps && outputs > inputs ? own_block : 0;
        first_[2] = overlaps ? std::max(inputs, outputs) : inputs + outputs;
        cell_count_ = first_[2] + plan.scratch_cells;
    }

    Cell first_cell(const Chunk& chunk) const { return first_[static_cast<std::size_t>(chunk.buffer)] + chunk.index; }
    Cell first_cell(BufferId buffer) const { return first_[static_cast<std::size_t>(buffer)]; }
    Cell cell_count() const { return cell_count_; }

private:
    Cell first_[3] = {};  // by BufferId
    Cell cell_count_ = 0;
};

}  // namespace tenon
