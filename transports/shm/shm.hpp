// Two processes of one host: memory from tenonMemAlloc is mapped by both; other memory can be copied by the kernel
// where it allows that (process_vm_readv).
#pragma once

#include <sys/types.h>

#include "os/file_descriptor.hpp"
#include "transports/rings/ring_transport.hpp"

namespace tenon {

struct ShmPeer {
    pid_t process = 0;
    os::FileDescriptor arena;      // the peer's shared arena; not valid where it has none
    bool kernel_copies = false;    // each may read and write the other's memory
};

std::unique_ptr<Reach> shm_reach(ShmPeer peer);
bool shm_shares(const void* bytes);

}  // namespace tenon
