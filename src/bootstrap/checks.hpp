// What ranks that have met are told of their job: over what its hosts talk, and what works but is seldom meant, in
// words for whoever started it. What cannot work is refused while they meet instead (roll_call.hpp).
//
// Pure functions of what all ranks of the job know alike.
#pragma once

#include <string>
#include <vector>

#include "bootstrap/meeting.hpp"

namespace tenon::bootstrap {

// A line for each way that hosts differ in: "hosts a and b talk over eth0, MTU 9000, 25000 Mbit/s".
std::vector<std::string> networks_in_words(const Meeting& meeting);

// A line for each finding, with what to do; none where all is as one would expect.
std::vector<std::string> findings(const Meeting& meeting);

}  // namespace tenon::bootstrap
