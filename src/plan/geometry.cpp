// Where chunks lie: the arithmetic behind the geometry that plan.hpp describes. Pure functions of agreed facts.
#include "plan/geometry.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t cache_line_bytes = 64;

// Elements before piece `index` of a row of blocks. The last pieces of a block end where the block does, so a run of
// pieces is contiguous even across blocks.
std::uint64_t elements_before(ChunkIndex index, std::uint32_t pieces, std::uint64_t count, std::uint64_t piece) {
    return index / pieces * count + std::min(index % pieces * piece, count);
}

}  // namespace

std::string_view name_of(StepKind kind) {
    static constexpr std::array<std::string_view, 10> names{
        "send", "receive", "receive_send", "receive_reduce", "receive_reduce_send", "receive_reduce_copy_send",
        "copy", "reduce",  "reduce_send",  "nothing"};
    const auto at = static_cast<std::size_t>(kind);
    TENON_ASSERT(at < names.size(), "a step kind is one of StepKind's values");
    return names[at];
}

std::uint32_t input_blocks(Collective collective, Rank rank, Rank rank_count, Rank root) {
    switch (collective) {
        case Collective::all_reduce:
        case Collective::reduce:
        case Collective::all_gather:
        case Collective::gather:
            return 1;
        case Collective::broadcast:
            return rank == root ? 1 : 0;
        case Collective::reduce_scatter:
        case Collective::all_to_all:
            return static_cast<std::uint32_t>(rank_count);
        case Collective::scatter:
            return rank == root ? static_cast<std::uint32_t>(rank_count) : 0;
        default:
            return 0;
    }
}

std::uint32_t output_blocks(Collective collective, Rank rank, Rank rank_count, Rank root) {
    switch (collective) {
        case Collective::all_reduce:
        case Collective::broadcast:
        case Collective::reduce_scatter:
        case Collective::scatter:
            return 1;
        case Collective::reduce:
            return rank == root ? 1 : 0;
        case Collective::all_gather:
        case Collective::all_to_all:
            return static_cast<std::uint32_t>(rank_count);
        case Collective::gather:
            return rank == root ? static_cast<std::uint32_t>(rank_count) : 0;
        default:
            return 0;
    }
}

ElementCount piece_elements(ElementCount count, std::uint32_t pieces, DataType type) {
    TENON_ASSERT(pieces > 0, "a block has at least one piece");
    std::uint64_t piece = count.value / pieces + (count.value % pieces != 0 ? 1 : 0);
    const std::uint64_t line = cache_line_bytes / element_bytes(type);
    if (piece >= line) piece += (line - piece % line) % line;
    // Never longer than its block: so cells of one-piece blocks lie back to back in scratch, as the blocks do.
    return ElementCount{std::min(piece, count.value)};
}

ElementRange element_range(const Chunk& chunk, std::uint32_t pieces, ElementCount count, DataType type) {
    return element_range(chunk, pieces, count, piece_elements(count, pieces, type));
}

ElementRange element_range(const Chunk& chunk, std::uint32_t pieces, ElementCount count, ElementCount piece_length) {
    const std::uint64_t piece = piece_length.value;
    const bool in_scratch = chunk.buffer == BufferId::scratch;
    const ChunkIndex from = in_scratch ? chunk.shape : chunk.index;
    const std::uint64_t first = elements_before(from, pieces, count.value, piece);
    const std::uint64_t length = elements_before(from + chunk.count, pieces, count.value, piece) - first;
    return {in_scratch ? chunk.index * piece : first, length};
}

}  // namespace tenon
