// Small files that hold a secret: nobody but this user can read what is written, and what another user put there is not
// believed.
#pragma once

#include <string>

#include "tenon/plugin/types.hpp"

namespace tenon::os {

// Makes a new file, which must not be there yet.
Result<void> write_private_file(const std::string& path, std::string_view text);
// Its text, cut at `most_bytes`. An error, remote_error, where there is none, and where it is no plain file of this
// user that only this user can write. Never waits.
Result<std::string> read_private_file(const std::string& path, std::size_t most_bytes);

}  // namespace tenon::os
