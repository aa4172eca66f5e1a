// What a waiting loop may do between two looks: give the core to another thread.
#pragma once

#include <sched.h>

namespace tenon::os {

inline void yield_core() { sched_yield(); }

}  // namespace tenon::os
