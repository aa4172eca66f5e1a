// Plans for ranks that do not share memory: the same, with a message to each other rank where one writes to all on its
// board. So algorithms need not know whether there are boards.
#pragma once

#include "tenon/plugin/plan.hpp"

namespace tenon {

// Claims stay true: each of the messages carries what the one carried, and follows it at once.
Plan without_boards(Plan plan);

}  // namespace tenon
