// The memory of this process that other processes of the host may map: what tenonMemAlloc gives out.
//
// One arena per process (a forked child gets a new one): a sparse memory file of a fixed size, mapped once; an
// allocation is a range of whole pages of it. Peers map the same file and find a byte by its offset. Freed pages go
// back to the system at once and read as zeros when they are allocated again.
//
// Thread-safe. The arena is never unmapped before the process ends, so that a late peer cannot fault.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "os/memory.hpp"
#include "os/process.hpp"

namespace tenon::os {

class SharedArena {
public:
    // Made on first use. An error where the system gives no such memory.
    static Result<SharedArena*> of_this_process();
    // The arena if it has been made; null otherwise. Never makes one.
    static SharedArena* if_made();

    Result<std::byte*> allocate(ByteCount bytes);
    Result<void> release(void* memory);  // an error if it was not allocated here
    std::optional<std::uint64_t> offset_of(const void* bytes, std::size_t length) const {
        const auto* at = static_cast<const std::byte*>(bytes);
        if (at < mapping_.data() || at + length > mapping_.data() + mapping_.size()) return std::nullopt;
        return static_cast<std::uint64_t>(at - mapping_.data());
    }
    // The allocation that all of these bytes lie in, whole pages.
    std::optional<std::span<std::byte>> allocation_of(const void* bytes, std::size_t length);
    // `released` is called with each allocation that is released, just before its pages go, by whoever releases it,
    // until what is returned is destroyed.
    std::shared_ptr<void> on_release(std::function<void(std::span<std::byte>)> released);
    const FileDescriptor& file() const { return file_; }
    static ByteCount size();

    // A peer's arena, by its file. It takes much address space, so all who ask for the same one share it while they
    // hold it.
    static Result<std::shared_ptr<const Mapping>> of_peer(const FileDescriptor& file);

private:
    SharedArena(FileDescriptor file, Mapping mapping);
    FileDescriptor file_;
    Mapping mapping_;
    std::mutex mutex_;
    std::map<std::uint64_t, std::uint64_t> free_;       // offset -> bytes, never adjacent
    std::map<std::uint64_t, std::uint64_t> allocated_;  // offset -> bytes
    std::mutex telling_;
    std::list<std::function<void(std::span<std::byte>)>> told_;  // of what is released
};

}  // namespace tenon::os
