// What who waits has found out so far, and has not yet said or not yet believed.
#pragma once

#include "tenon/plugin/types.hpp"

namespace tenon {

struct LateWait {
    bool warned = false;  // that it takes long
    // Who had left, at the last look. A peer may send what is waited for and leave at once, so that counts only when
    // the work has been tried again since, and still waits.
    Rank gone = no_rank;
};

}  // namespace tenon
