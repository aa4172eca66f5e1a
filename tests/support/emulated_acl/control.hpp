// What tests ask of the emulated ACL beside ACL's own functions, and how they describe its machine. The provider knows
// nothing of this. From the library: `const AclControl* emulatedAclControl()`.
#pragma once

#include <cstdint>

namespace tenon::support {

// A supernode: servers of so many dies, two of which are an NPU.
struct AclShape {
    std::uint32_t servers = 1, devices_per_server = 2;
    std::uint32_t notify_limit = 8192;  // of each device
    std::uint64_t memory_bytes = 256 << 20;
};

// What is in use: of the whole machine, and then of this process.
struct AclUsage {
    std::uint64_t allocations = 0, shares = 0, imports = 0, notifies = 0;
    std::uint64_t contexts = 0, streams = 0, events = 0, notify_handles = 0, physical_handles = 0, reservations = 0;
    friend bool operator==(const AclUsage&, const AclUsage&) = default;
};

struct AclControl {
    // A machine's file, which the caller closes; others get it across a fork. -1: there was no memory for it.
    int (*create)(const AclShape* shape);
    // From now on this process is on a server of that machine. What it had of another is given up.
    bool (*use)(int file, std::uint32_t server);
    void (*usage)(AclUsage* usage);
    std::uint64_t (*calls)();  // of ACL's functions, by this process
    // What this process did wrong, a line each; "" where nothing was. Stays until the next call of this.
    const char* (*misuse)();
    // From now on this function of ACL's gives this code; 0: no longer.
    void (*fault)(const char* function, int code);
    // After so many operations of its streams, whoever's they are, a device of this server fails.
    void (*fail_device)(std::uint32_t device, std::uint64_t operations);
    // Whether all streams of this process are done. None of ACL's functions is called.
    bool (*is_idle)();
};

}  // namespace tenon::support
