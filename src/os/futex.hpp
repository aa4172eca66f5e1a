// Sleeping on a 32-bit word that may lie in memory shared between processes, and waking its sleepers.
//
// Any thread of any process that maps the word may call either. Sleepers may wake for no reason: always look at the
// word again. Whoever changes the word and finds that somebody sleeps must wake.
#pragma once

#include <atomic>
#include <cstdint>

namespace tenon::os {

// Sleeps while the word still equals `expected`, at most `timeout_us`. False when the time ran out.
bool futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t timeout_us);
// Wakes up to `count` sleepers; all of them by default.
void futex_wake(const std::atomic<std::uint32_t>& word, int count = 0x7fffffff);

}  // namespace tenon::os
