#include "base/assert.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace tenon {

// Thrown, not aborted: the library never ends its caller's process. The C border turns it into tenonInternalError.
void assertion_failed(const char* expression, const char* why, const char* file, int line) {
    throw std::logic_error(fmt::format("{}:{}: {} ({})", file, line, why, expression));
}

}  // namespace tenon
