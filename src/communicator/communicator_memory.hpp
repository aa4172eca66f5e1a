// The memory of the program that a communicator's network may prepare once: what tenonMemAlloc has given out in this
// process, and what tenonCommRegister has named. Thread-safe.
#pragma once

#include <list>
#include <mutex>
#include <vector>

#include "os/shared_arena.hpp"
#include "tenon/plugin/network.hpp"

namespace tenon {

class CommunicatorMemory final : public KnownMemory {
public:
    explicit CommunicatorMemory(os::SharedArena* arena) : arena_(arena) {}  // null where there is none

    std::optional<std::span<std::byte>> range_of(const void* bytes, std::size_t length) const override;
    std::shared_ptr<void> tell_ends(std::function<void(std::span<std::byte>)> ended) override;

    // Ranges may overlap, and be added more than once.
    void add(std::span<std::byte> range);
    void remove(std::span<std::byte> range);

private:
    os::SharedArena* arena_;
    mutable std::mutex mutex_;
    std::vector<std::span<std::byte>> ranges_;
    std::mutex telling_;
    std::list<std::function<void(std::span<std::byte>)>> told_;
};

}  // namespace tenon
