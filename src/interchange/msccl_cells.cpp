#include "interchange/msccl_dataflow.hpp"

namespace tenon::msccl {

Cells::Cells(const Program& program)
    : collective_(program.facts.collective),
      in_place_(program.facts.in_place),
      pieces_(program.pieces),
      inputs_(input_chunks_of(program)),
      outputs_(output_chunks_of(program)) {
    for (const Gpu& gpu : program.gpus) scratch_.push_back(gpu.scratch_chunks);
}

std::optional<std::uint32_t> Cells::output_chunk_of(Rank gpu, std::uint32_t input_chunk) const {
    if (!in_place_) return std::nullopt;
    const std::uint32_t own_block = static_cast<std::uint32_t>(gpu) * pieces_;
    if (collective_ == Collective::all_gather) return own_block + input_chunk;
    if (collective_ != Collective::reduce_scatter) return input_chunk;
    if (input_chunk < own_block || input_chunk >= own_block + pieces_) return std::nullopt;
    return input_chunk - own_block;
}

Cell Cells::cell(Rank gpu, const Place& place, std::uint32_t nth) const {
    const std::uint32_t chunk = static_cast<std::uint32_t>(place.offset) + nth;
    if (place.buffer == BufferId::scratch) return outputs_ + inputs_ + chunk;
    if (place.buffer == BufferId::output) return chunk;
    return output_chunk_of(gpu, chunk).value_or(outputs_ + chunk);
}

bool has_input(const Program& program, Rank gpu, Rank root) {
    return input_blocks(program.facts.collective, gpu, program.rank_count(), root) > 0;
}

bool has_output(const Program& program, Rank gpu, Rank root) {
    return output_blocks(program.facts.collective, gpu, program.rank_count(), root) > 0;
}

}  // namespace tenon::msccl
