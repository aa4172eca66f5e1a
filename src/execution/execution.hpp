// Execution: one run of a Program over the caller's buffers, as a resumable state machine.
//
// advance() does all that can be done now and says whether the run is done, waits for a peer, or failed; it never
// waits itself. How to wait, for how long, and what else to look at meanwhile is the Backoff's and the Watch's
// (waiter.hpp).
//
// An Execution is reused from call to call (begin() starts a new run) and belongs to one thread at a time. Between
// begin() and `done` the program, the buffers and the transport must stay. After `done` no peer touches the buffers.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "execution/program.hpp"
#include "execution/work.hpp"

namespace tenon {

class Execution final : public Work {
public:
    struct Buffers {
        const std::byte* input = nullptr;
        std::byte* output = nullptr;
        std::byte* scratch = nullptr;
    };

    // `signature` is the program's, mixed with the number of the call.
    void begin(const Program& program, const Buffers& buffers, std::uint32_t signature, const AccessPolicy& policy);
    Progress advance() override;
    // See small_run.hpp.
    template <class F>
    bool run_small(const Program& program, const Buffers& buffers, std::uint32_t signature, const AccessPolicy& policy,
                   std::uint32_t spins, F&& while_waiting);

    const Program& program() const { return *program_; }
    // What keeps the run from going on, for verdicts; nothing when its steps are done.
    struct Blocked {
        const Operation* operation;
        std::size_t lane;
        std::uint32_t step;  // of the lane
        std::uint64_t tile;
    };
    std::optional<Blocked> blocked_on() const;
    // An operation that waits for a message while its peer has sent another one; null if there is none.
    const Operation* contradicted() const;
    std::uint32_t signature() const { return signature_; }
    Rank awaited_peer() const override;
    std::string step_in_words() const override;
    std::optional<Contradiction> contradiction() const override;

private:
    struct LaneState {
        std::uint32_t next = 0;  // operation within the lane
        std::uint64_t tile = 0;
        bool done = false;
    };
    struct Tile {
        std::uint64_t offset = 0;
        std::size_t length = 0;
    };
    struct Exposed {
        SendEnd* end;
        Row row;
        std::uint64_t count;
    };
    enum class Outcome { done, blocked, failed };

    void begin_bulk(const AccessPolicy& policy);
    bool all_taken();
    bool try_small(const Operation& operation);
    bool try_staged(const Operation& operation);
    void leave_small(std::uint32_t next);
    bool advance_lane(std::size_t lane);
    bool dependencies_met(const Operation& operation, std::uint64_t tile) const;
    Outcome step(const Operation& operation, Tile tile);
    Outcome send(const Operation& operation, Tile tile);
    Outcome receive(const Operation& operation, Tile tile);
    Outcome receive_small(const Operation& operation, Tile tile);
    Outcome receive_large(const Operation& operation, Tile tile);
    Outcome store_arrived(const Operation& operation, Tile tile, const Header& header);
    Outcome combine_arrived(const Operation& operation, Tile tile, const Header& header);
    Outcome combine_message(const Operation& operation, Tile tile, const std::byte* message);
    Outcome combine_into(const Operation& operation, Tile tile, const void* const* sources, std::uint32_t count);
    Outcome combine_operands(const Operation& operation, Tile tile);
    void send_in_slot(const Operation& operation, const std::byte* bytes, std::size_t length);
    Outcome send_bytes(const Operation& operation, const std::byte* bytes, std::size_t length, bool stable);
    // halving.cpp
    Tile half_of(Tile tile, bool first) const;
    bool try_expose_for_halving(const Operation& operation, Tile tile);
    Outcome reduce_exchanged(const Operation& operation, Tile tile, const Header& header);
    Outcome reduce_half(const Operation& operation, Tile tile, const Header& header);
    Outcome take_other_half(const Operation& operation, Tile tile, const Header& header);
    Outcome reduce_alone(const Operation& operation, Tile tile, const Header& header);
    Result<bool> put(const Operation& operation, const Exposure& place, const std::byte* bytes, std::size_t length);
    std::optional<Exposure> exposure_of(const Operation& operation, const std::byte* bytes, std::size_t length) const;
    bool try_expose(const Operation& operation, const std::byte* bytes, std::size_t length);
    void post_first_offers(const Operation& operation);
    void post_offer(const Operation& operation, std::uint64_t tile, std::uint64_t number);
    // Only addresses of the peer's process mean something to the kernel.
    bool copies_into(const Exposure& place, std::size_t length) const {
        return place.form == MessageForm::process && length >= policy_.copy_min_bytes;
    }
    bool may_send(const Operation& operation, std::size_t length) const;
    void copy(std::byte* to, const std::byte* from, std::size_t length) const;
    void stage(std::byte* slot, const std::byte* from, std::size_t length) const;
    Outcome disagree(const Operation& operation);
    Outcome failed(Error error);

    std::byte* at(const Place& place, std::uint64_t tile_offset) const {
        // As numbers: sends and receives have no base, and their offsets are addresses.
        const auto base = reinterpret_cast<std::uintptr_t>(bases_[static_cast<std::size_t>(place.buffer)]);
        return reinterpret_cast<std::byte*>(base + place.offset + tile_offset);
    }

    const Program* program_ = nullptr;
    std::byte* bases_[3] = {};
    std::uint32_t signature_ = 0;
    bool acknowledging_ = false;  // all steps are done; exposed messages are still being taken
    std::size_t lanes_left_ = 0;
    AccessPolicy policy_;
    std::vector<LaneState> lanes_;
    std::vector<Exposed> exposed_;
    // The exchange that is under way.
    struct Exchange {
        std::uint64_t exposed = 0;  // 0: this rank's source is not; else the count of its row when it was sent
        bool halved = false;        // this rank's half is done
    } exchange_;
    std::vector<const void*> sources_;
    std::vector<std::byte> bounce_;  // for messages that only the kernel can copy and that are not simply stored
};

}  // namespace tenon
