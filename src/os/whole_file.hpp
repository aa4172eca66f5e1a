// Files and pipes that a user names, read and written as a whole.
#pragma once

#include <string>

#include "tenon/plugin/types.hpp"

namespace tenon::os {

// An error where there are more than `most_bytes`, since what a user names may have no end.
Result<std::string> read_whole_file(const std::string& path, std::size_t most_bytes);
// In place of what was there.
Result<void> write_whole_file(const std::string& path, std::string_view bytes);

}  // namespace tenon::os
