// The map of what runs this program: of the machine or, in a launcher's job of several ranks, of all of the job's.
#pragma once

#include <optional>

#include "topology/map.hpp"

namespace tenon {

// In a job, all ranks call. Rank 0 gets the map, the others nothing: each tells rank 0 by what it reaches the others,
// and the lowest of each host what machine that is. Status::invalid_argument where the environment or the configuration
// is wrong; other errors name the rank whose they are.
Result<std::optional<Map>> map_of_what_runs_this();

}  // namespace tenon
