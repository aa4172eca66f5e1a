// A Plan: what one rank does in one collective, as data.
//
// Geometry. A buffer is a row of *blocks* of `count` elements each (count is the request's; it is bound when the plan
// runs, so one plan serves every count). Each block is cut into `pieces` equal pieces, rounded up; the last pieces may
// be shorter or empty. A *chunk* is a run of pieces: chunk index = block * pieces + piece.
//
//   collective       input blocks   output blocks        in place means
//   all_reduce       1              1                    output == input
//   reduce           1              1 (root)             output == input (root)
//   broadcast        1 (root)       1                    output == input (root)
//   reduce_scatter   ranks          1                    output == input + rank * count
//   all_gather       1              ranks                input == output + rank * count
//   all_to_all       ranks          ranks                not in place: the caller's input is copied first
//   gather           1              ranks (root)         input == output + rank * count (root)
//   scatter          ranks (root)   1                    output == input + rank * count (root)
//   barrier          0              0
//
// Scratch is cut in cells of one piece. A scratch chunk says with `shape` which piece's length it has, because pieces
// may be shorter at the end of a block.
//
// Execution. A *lane* is a sequential program; lanes of a rank run concurrently. Chunks are cut into *tiles* of
// `tile_bytes`; a lane runs all its steps on tile 0, then all on tile 1, and so on. A tile past the end of a step's
// chunk is empty: it moves nothing. A step may wait for (lane, step) of the same rank: the same tile of it.
// So a step may only meet another's data where both chunks start at the same element: else tile t of the one lies in
// another tile of the other. A plan that sends runs of pieces and then parts of them says tile_bytes = one_tile.
// Messages between two ranks on one channel arrive in the order in which they were sent. Sends are buffered by at least
// two tiles per channel: a plan may count on no more.
//
// One rank's publications (send_to == everyone, on `board_channel`) must be received by every other rank, in order.
//
// Invariants (held by src/plan/verifier): every output chunk ends with exactly the right contributions; no deadlock;
// no two unordered accesses to one chunk with a write among them, in place or not; all indices in bounds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/request.hpp"

#pragma GCC visibility push(default)  // plugin modules call what is declared here
namespace tenon {

enum class BufferId : std::uint8_t { input, output, scratch };

struct Chunk {
    BufferId buffer = BufferId::input;
    ChunkIndex index = 0;
    std::uint32_t count = 0;  // pieces; 0: no chunk
    ChunkIndex shape = 0;     // the first piece (0 .. pieces - 1) whose length this has; index % pieces but in scratch
    friend constexpr bool operator==(const Chunk&, const Chunk&) = default;
};

using Channel = std::uint16_t;
inline constexpr Channel max_channels = 32;
inline constexpr Channel board_channel = max_channels;  // one writer, all others read
// Of sends and receives that belong to no collective.
inline constexpr Channel point_to_point_channel = 7;
// Those on which a rank may have to do with all others. Slots are sized so that these fit into the cap, in this order.
inline constexpr Channel channels_with_everyone[] = {0, point_to_point_channel, 1};

// msg is the message that the step receives; ∘ is the request's operation.
enum class StepKind : std::uint8_t {
    send,                      // send source
    receive,                   // destination = msg
    receive_send,              // destination = msg; send msg
    receive_reduce,            // destination = source ∘ msg
    receive_reduce_send,       // send source ∘ msg (nothing is stored)
    receive_reduce_copy_send,  // destination = source ∘ msg; send it
    copy,                      // destination = source
    reduce,                    // destination = the tree over the operands, in their order
    reduce_send,               // the same, and send it
    nothing,                   // only waits (imported plans)
};
std::string_view name_of(StepKind kind);
constexpr bool sends(StepKind k) {
    return k == StepKind::send || k == StepKind::receive_send || k == StepKind::receive_reduce_send ||
           k == StepKind::receive_reduce_copy_send || k == StepKind::reduce_send;
}
constexpr bool receives(StepKind k) {
    return k == StepKind::receive || k == StepKind::receive_send || k == StepKind::receive_reduce ||
           k == StepKind::receive_reduce_send || k == StepKind::receive_reduce_copy_send;
}
constexpr bool combines(StepKind k) {
    return k == StepKind::receive_reduce || k == StepKind::receive_reduce_send ||
           k == StepKind::receive_reduce_copy_send || k == StepKind::reduce || k == StepKind::reduce_send;
}
constexpr bool reads_source(StepKind k) {
    return k == StepKind::send || k == StepKind::copy || k == StepKind::receive_reduce ||
           k == StepKind::receive_reduce_send || k == StepKind::receive_reduce_copy_send;
}
constexpr bool writes_destination(StepKind k) {
    return k == StepKind::receive || k == StepKind::receive_send || k == StepKind::receive_reduce ||
           k == StepKind::receive_reduce_copy_send || k == StepKind::copy || k == StepKind::reduce ||
           k == StepKind::reduce_send;
}
// What is left of a step that stores what it sends, where nothing is sent.
constexpr StepKind without_sending(StepKind k) {
    switch (k) {
        case StepKind::receive_send: return StepKind::receive;
        case StepKind::receive_reduce_copy_send: return StepKind::receive_reduce;
        case StepKind::reduce_send: return StepKind::reduce;
        default: return k;
    }
}

struct StepRef {
    std::uint32_t lane = 0;
    std::uint32_t step = 0;
    friend constexpr bool operator==(StepRef, StepRef) = default;
};

struct Step {
    StepKind kind = StepKind::nothing;
    // The result holds every rank's contribution: an operation's finish (avg's division) is applied here, once.
    bool completes = false;
    // Claims that the verifier proves, in place too; they let memory be reached directly instead of staged:
    // nothing overwrites the sent source before its receiver has taken the message;
    bool source_stable = false;
    // nothing on this rank touches the destination between the start of the call and this message's arrival, except
    // sends whose receiver takes them before it sends this message.
    bool destination_free = false;
    // this rank receives a message that is only sent when every receiver has taken this one, so that the end of the
    // call needs no other word that they have.
    bool answered = false;
    // this send and the next step, a receive_reduce of the same chunk from the receiver, are half of an exchange, of
    // which the receiver's plan has the same two steps as the other half; each plan is one lane of tiles. Two ranks
    // that reach each other's memory then share the work (src/execution/halving.cpp).
    bool exchanged = false;
    Channel send_channel = 0;
    Channel receive_channel = 0;
    Rank send_to = no_rank;
    Rank receive_from = no_rank;
    Chunk source{};
    Chunk destination{};
    std::uint32_t first_operand = 0, operand_count = 0;        // in Plan::operands (reduce, reduce_send)
    std::uint32_t first_dependency = 0, dependency_count = 0;  // in Plan::dependencies
};

// As Plan::tile_bytes: a chunk is one tile, whatever its length.
inline constexpr std::uint64_t one_tile = UINT64_MAX;

struct Lane {
    std::vector<Step> steps;
};

struct Plan {
    Collective collective = Collective::barrier;
    std::string algorithm;
    Rank rank = 0;
    Rank rank_count = 1;
    Rank root = 0;
    std::uint32_t pieces = 1;         // per block
    std::uint32_t input_blocks = 0;
    std::uint32_t output_blocks = 0;
    std::uint32_t scratch_cells = 0;
    std::uint64_t tile_bytes = 0;     // 0: one slot of the communicator; one_tile: chunks are not cut
    std::vector<Lane> lanes;
    std::vector<Chunk> operands;
    std::vector<StepRef> dependencies;

    std::span<const Chunk> operands_of(const Step& s) const {
        return {operands.data() + s.first_operand, s.operand_count};
    }
    std::span<const StepRef> dependencies_of(const Step& s) const {
        return {dependencies.data() + s.first_dependency, s.dependency_count};
    }
};

// Blocks of the buffers of a collective, for this rank and root.
std::uint32_t input_blocks(Collective collective, Rank rank, Rank rank_count, Rank root);
std::uint32_t output_blocks(Collective collective, Rank rank, Rank rank_count, Rank root);

// Elements of one piece when a block has `count` elements: rounded up to whole cache lines where the pieces are larger.
// A function of agreed facts only.
ElementCount piece_elements(ElementCount count, std::uint32_t pieces, DataType type);

struct ElementRange {
    std::uint64_t first = 0, count = 0;
};
// Where a chunk of the input or output lies, in elements from the start of the buffer; for scratch from its start.
ElementRange element_range(const Chunk& chunk, std::uint32_t pieces, ElementCount count, DataType type);

}  // namespace tenon
#pragma GCC visibility pop
