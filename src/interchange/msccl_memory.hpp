// What every gpu's cells hold while a program is followed. Grows and dies with one call of follow_data.
#pragma once

#include "interchange/msccl_dataflow.hpp"
#include "interchange/rank_sets.hpp"

namespace tenon::msccl {

// The sum of one chunk of the input over some gpus.
struct Value {
    ChunkIndex chunk = 0;  // of the input
    RankSet gpus = 0;
    friend bool operator==(const Value&, const Value&) = default;
};

// A step's use of a cell, as which of its chunks.
struct Use {
    StepIndex step = no_step;
    std::uint32_t nth = 0;
};

struct CellState {
    std::optional<Value> value{};
    bool is_written = false;  // no longer the initial content
    Use last_write{};
    Use last_read{};  // since the last write
};

// A step wrote over a partial sum that nothing had read: the usual mistake where a sum ends short.
struct Loss {
    Value lost{};
    StepIndex by = no_step;
};

struct Memory {
    explicit Memory(const Program& program, const Cells& cells);

    CellState& at(Rank gpu, Cell cell) { return gpus[static_cast<std::size_t>(gpu)][cell]; }
    const CellState& at(Rank gpu, Cell cell) const { return gpus[static_cast<std::size_t>(gpu)][cell]; }
    std::string describe(const Value& value) const;  // "input chunk 3 of gpu 0, 1"

    RankSets sets;
    std::vector<std::vector<CellState>> gpus;
    std::vector<Loss> losses;  // in the order of the run
};

// That every output chunk holds what the collective promises. The root is that for which it does.
Result<Rank> check_outcome(const Program& program, const Cells& cells, const Memory& memory);

}  // namespace tenon::msccl
