// What ranks that have met are told of their job: over what its hosts talk, and what works but is seldom meant, in
// words for whoever started it. What cannot work is refused while they meet instead (roll_call.hpp).
//
// Pure functions of what all ranks of the job know alike.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bootstrap/meeting.hpp"

namespace tenon::bootstrap {

// A line for each way that hosts differ in: "hosts a and b talk over eth0, MTU 9000, 25000 Mbit/s".
std::vector<std::string> networks_in_words(const Meeting& meeting);

// How a rank tells, before its preferences, why it does not take a network for which its host has the hardware; no line
// where there is nothing to tell.
std::string line_of_refused_network(std::string_view why);
// The same as a finding, of some ranks.
std::string refused_network_in_words(std::string_view who, std::string_view why);

// A line for each finding, with what to do; none where all is as one would expect.
std::vector<std::string> findings(const Meeting& meeting);

}  // namespace tenon::bootstrap
