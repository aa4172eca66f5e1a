// Sets of processors in words, as Linux writes them: "0-3,8". How a map says which processors a place has.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "os/process.hpp"

namespace tenon {

// The fact of a place that holds processors.
inline constexpr std::string_view processors_fact = "processors";

// Empty for the empty set.
std::string core_words(const os::CoreSet& cores);
// Nothing for what is no such list, or names a processor beyond the set's limit.
std::optional<os::CoreSet> cores_in_words(std::string_view words);

}  // namespace tenon
