// Runs a world's lanes with bounded channels to see that they end, without looking at data.
//
// A step waits for its dependencies, its message, and room in the channels it sends on. If the lanes end in one order,
// they end in every order: what a step waits for is never taken away by another lane, because each end of a channel
// belongs to one lane. One tile is enough to look at: once all lanes are through with it, all channels are empty again,
// so the next tile can run as this one did; and an order that can end is never lost by tiles that overlap.
#pragma once

#include "plan/world.hpp"

namespace tenon {

// All steps in an order that respects what each waits for; an error that names the cycle where lanes wait for another.
// `messages`, by step: each occurs so often, one after the other, with a message each time (once without).
Result<std::vector<StepId>> schedule(const World& world, std::uint32_t channel_depth,
                                     std::span<const std::uint64_t> messages = {});

// For plans with one_tile: the lanes end even if every chunk is larger than all that a channel buffers.
Result<void> check_whole_chunks(const World& world);

// The most messages on a chain of which each waits for the one before.
std::uint32_t longest_message_chain(const World& world, std::span<const StepId> order);

}  // namespace tenon
