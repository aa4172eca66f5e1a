// Turns errno into an Error that says what was tried, what the system answered, and what the user can do about it.
#pragma once

#include <string>

#include "tenon/plugin/types.hpp"

namespace tenon::os {

// Reads errno at the time of the call: "<tried>: <errno in words> (errno N); <advice>".
std::unexpected<Error> system_error(std::string tried);
std::unexpected<Error> system_error(std::string tried, int error_number);

}  // namespace tenon::os
