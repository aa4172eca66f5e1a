// Memory of the program, registered with all devices: ranges whose end the library knows, when they are first used, and
// until they end, or others need their room more.
//
// A range is registered whole, once, for both directions. What is in use stays; beyond the bounds the one that was used
// longest ago goes, and where none can, what is asked for is not registered: such messages go through slots.
//
// Threads: ranges end by any thread; everything else by the rank's own.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "tenon/plugin/network.hpp"
#include "transports/rdma/device.hpp"

namespace tenon::rdma {

// A range that is in use while somebody holds it.
struct Registered {
    std::span<std::byte> range;
    std::array<Region, most_paths> regions{};  // by path; of a device, the first has it
    bool is_usable = false;
    Keys local{}, remote{};
    std::uint64_t last_used = 0;
};
using InUse = std::shared_ptr<const Registered>;

class Registrations {
public:
    struct Bounds {
        std::uint64_t bytes = 0;
        std::size_t ranges = 256;
    };
    // One device for each path. `known` is null where no memory is.
    Registrations(std::vector<Device*> devices, std::shared_ptr<KnownMemory> known, Bounds bounds);
    ~Registrations();

    // The range that these bytes lie in; registers it where it has to. Null where it cannot be, or is not known.
    InUse find(const void* bytes, std::size_t length);

private:
    using Entries = std::map<std::uintptr_t, std::shared_ptr<Registered>>;  // by their first byte
    Entries::iterator at(const void* bytes, std::size_t length);
    InUse add(std::span<std::byte> range);
    bool make_room(std::uint64_t bytes);
    void remove(Entries::iterator entry);
    void range_ended(std::span<std::byte> range);

    Result<void> register_with_all(Registered& made) const;

    std::vector<Device*> devices_;
    std::shared_ptr<KnownMemory> known_;
    Bounds bounds_;
    std::mutex mutex_;
    Entries entries_;
    std::uint64_t bytes_ = 0, uses_ = 0;
    bool has_warned_ = false;
    std::shared_ptr<void> tells_ends_;  // last: nobody is told of an end any more when the rest goes
};

}  // namespace tenon::rdma
