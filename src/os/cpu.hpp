// What a waiting loop does between two looks: pause the core, or give it to another thread.
#pragma once

#include <sched.h>

namespace tenon::os {

// Tells the core that this is a spin loop; costs a few nanoseconds.
inline void pause_core() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb" ::: "memory");
#endif
}

inline void yield_core() { sched_yield(); }

}  // namespace tenon::os
