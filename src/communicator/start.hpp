// What is told of a job when its ranks have met, once: over what its hosts talk (TENON_LOG=info), and as warnings what
// works but is seldom meant (bootstrap/checks.hpp).
#pragma once

#include <string_view>

#include "bootstrap/meeting.hpp"

namespace tenon {

// By every rank: rank 0 tells of the job, and the lowest of each host by which device it talks.
void tell_of_start(const Meeting& meeting, Rank rank, std::string_view network);

}  // namespace tenon
