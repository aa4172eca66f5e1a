// Assertions, on in release: for what a programmer did wrong, never for what the world did (that is an Error).
#pragma once

namespace tenon {

[[noreturn]] void assertion_failed(const char* expression, const char* why, const char* file, int line);

}  // namespace tenon

// NOLINTNEXTLINE: the expression's own text is wanted.
#define TENON_ASSERT(expression, why)                     \
    (static_cast<bool>(expression) ? static_cast<void>(0) \
                                   : ::tenon::assertion_failed(#expression, why, __FILE__, __LINE__))
