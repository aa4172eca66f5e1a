// Text from files that may hold anything: which of it can be kept, and how the rest is named in messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tenon {

// Well-formed UTF-8 without control characters, which can be shown on one line and written to JSON.
bool is_plain_text(std::string_view text);

// For messages: no byte that a terminal would act on, and not too long.
std::string shown(std::string_view text, std::size_t most = 48);

}  // namespace tenon
