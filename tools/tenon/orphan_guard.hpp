// A small process that outlives this one just long enough to end what it started.
//
// A killed parent takes its children with it (PR_SET_PDEATHSIG), but not their children. The guard knows the process
// groups of the ranks and, when this process is gone without having said goodbye, kills those groups.
//
// Not thread-safe. Start it before the first rank; its destructor (the goodbye) ends it without harm to anyone.
#pragma once

#include <sys/types.h>

#include "tenon/plugin/types.hpp"

namespace tenon {

class OrphanGuard {
public:
    static Result<OrphanGuard> start();
    OrphanGuard(OrphanGuard&& other) noexcept;
    OrphanGuard& operator=(OrphanGuard&&) = delete;
    ~OrphanGuard();

    void watch(pid_t group);
    void forget(pid_t group);
    // In a rank's process, which must not keep the guard waiting after its parent has died.
    void close_in_child();

private:
    OrphanGuard(pid_t pid, int pipe) : pid_(pid), pipe_(pipe) {}
    void tell(pid_t group);

    pid_t pid_ = 0;
    int pipe_ = -1;
};

}  // namespace tenon
