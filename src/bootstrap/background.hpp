// The servers that run in this process, each on a thread of its own, until their meeting is over or the process ends.
//
// Thread-safe. A forked child starts with none: the parent's go on in the parent alone.
#pragma once

#include "bootstrap/server.hpp"

namespace tenon::bootstrap {

// False when somebody serves under that name already.
Result<bool> serve_in_background(Post post);

}  // namespace tenon::bootstrap
