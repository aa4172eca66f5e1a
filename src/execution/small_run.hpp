// The run of a small program: every chunk is one tile, and steps wait for messages only. It is the same run as
// Execution's, written so that between a call and its first store, and between the last arrival and the return, there
// is as little as possible: no tiles, no dependencies, one operation after the other. What it cannot finish within the
// spins it leaves to Execution::advance(), which looks at all lanes.
#pragma once

#include <cstring>

#include "execution/execution.hpp"

namespace tenon {

// True when the run is done. False: go on with advance(), which says whether it waits or has failed. `while_waiting` is
// called once, when the first message is on its way, for work that the caller would otherwise do afterwards.
template <class F>
inline bool Execution::run_small(const Program& program, const Buffers& buffers, std::uint32_t signature,
                                 const AccessPolicy& policy, std::uint32_t spins, F&& while_waiting) {
    program_ = &program;
    bases_[0] = const_cast<std::byte*>(buffers.input);
    bases_[1] = buffers.output;
    bases_[2] = buffers.scratch;
    signature_ = signature;
    if (program.packed)
        policy_ = {};
    else
        begin_bulk(policy);
    bool told = false;
    const Operation* const operations = program.operations.data();
    const auto count = static_cast<std::uint32_t>(program.operations.size());
    for (std::uint32_t i = 0; i < count; i++) {
        const Operation& o = operations[i];
        for (std::uint32_t looks = 0; !try_small(o); looks++) {
            if (!told) while_waiting();
            told = true;
            if (looks < spins) continue;
            leave_small(i);
            return false;
        }
    }
    if (!told) while_waiting();
    if (program.packed || exposed_.empty()) return true;
    for (std::uint32_t looks = 0; looks < spins; looks++)
        if (all_taken()) return true;
    leave_small(count);
    return false;
}

// One look; false when the operation cannot be done yet, or is for the general way to do.
inline bool Execution::try_small(const Operation& o) {
    if (o.bytes > packed_bytes)
        return o.bytes < policy_.direct_min_bytes ? try_staged(o) : step(o, {0, o.bytes}) == Outcome::done;
    if (o.bytes == 0 && !o.token) return true;
    switch (o.kind) {
        case StepKind::send:
            if (!o.out->may_send_packed(o.bytes)) return false;
            o.out->send_packed(at(o.source, 0), o.bytes, signature_ ^ o.salt);
            return true;
        case StepKind::receive:
            if (o.in->packed_arrival(o.bytes, signature_ ^ o.salt) != Arrival::here) return false;
            o.in->take_packed(at(o.destination, 0), o.bytes);
            return true;
        case StepKind::receive_reduce: {
            if (o.in->packed_arrival(o.bytes, signature_ ^ o.salt) != Arrival::here) return false;
            alignas(16) std::byte message[packed_bytes];
            o.in->take_packed(message, o.bytes);
            const void* sources[2] = {at(o.source, 0), message};
            program_->kernel({.destination = at(o.destination, 0),
                              .sources = sources,
                              .source_count = 2,
                              .elements = o.bytes / program_->element_bytes,
                              .divisor = o.completes ? program_->divisor : 1});
            return true;
        }
        case StepKind::copy:
            copy(at(o.destination, 0), at(o.source, 0), o.bytes);
            return true;
        default: return step(o, {0, o.bytes}) == Outcome::done;
    }
}

// The same for a message in a slot, which this rank neither exposes nor puts.
inline bool Execution::try_staged(const Operation& o) {
    switch (o.kind) {
        case StepKind::send: {
            const Row row = o.out->row_of(o.bytes);
            if (!o.out->may_send_bulk(row)) return false;
            send_in_slot(o, at(o.source, 0), o.bytes);
            return true;
        }
        case StepKind::receive:
        case StepKind::receive_reduce: {
            const Row row = o.in->row_of(o.bytes);
            const Arrival arrival = o.in->bulk_arrival(row, signature_ ^ o.salt);
            if (arrival == Arrival::none) return false;
            if (arrival != Arrival::here || !o.in->is_staged(row, o.bytes)) break;
            std::byte* const to = at(o.destination, 0);
            if (o.kind == StepKind::receive) {
                copy(to, o.in->payload(row), o.bytes);
            } else if (combine_message(o, {0, o.bytes}, o.in->payload(row)) != Outcome::done) {
                return false;
            }
            o.in->release_bulk(row, false);
            return true;
        }
        case StepKind::copy:
            copy(at(o.destination, 0), at(o.source, 0), o.bytes);
            return true;
        default: break;
    }
    return step(o, {0, o.bytes}) == Outcome::done;
}

}  // namespace tenon
