// Memory from the system: files that live in memory and can be shared by passing their descriptor, and mappings.
//
// Shared memory has no name and no entry in /dev/shm: it goes away with the last descriptor and mapping, also after a
// SIGKILL, and does not depend on how large /dev/shm is. Pages are allocated when first touched, so that a sparse
// terabyte costs nothing. Nobody can shrink it, so that a peer cannot make our reads fault.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "os/file_descriptor.hpp"

namespace tenon::os {

// `name` is only what /proc shows.
Result<FileDescriptor> create_shared_memory(const char* name, ByteCount bytes);
// Another process's, by the path of its descriptor: /proc/PROCESS/fd/NUMBER.
Result<FileDescriptor> open_shared_memory(const std::string& path);
Result<ByteCount> shared_memory_bytes(const FileDescriptor& memory);
Result<void> grow_shared_memory(const FileDescriptor& memory, ByteCount bytes);

// A range of this process's address space, unmapped when it dies. Move-only. Readable and writable, zero at first.
class Mapping {
public:
    static Result<Mapping> shared(const FileDescriptor& memory, ByteCount bytes);
    static Result<Mapping> anonymous(ByteCount bytes);

    Mapping() = default;
    Mapping(Mapping&& other) noexcept : memory_{std::exchange(other.memory_, {})} {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(memory_, other.memory_);
        return *this;
    }
    ~Mapping();

    bool valid() const { return memory_.data() != nullptr; }
    std::byte* data() const { return memory_.data(); }
    std::size_t size() const { return memory_.size(); }
    std::span<std::byte> bytes() const { return memory_; }

private:
    explicit Mapping(std::span<std::byte> memory) : memory_{memory} {}
    static Result<Mapping> map(int flags, int descriptor, ByteCount bytes);
    std::span<std::byte> memory_;
};

// Maps the pages that hold these bytes now, without touching what is in them. Where the system cannot, they come when
// used.
void bring_in(std::span<std::byte> memory);

std::size_t page_bytes();
// What could be allocated now without pushing others out: the system's estimate, capped by this container's limit.
Result<ByteCount> available_memory();

// How much of its memory this process may pin (RLIMIT_MEMLOCK); UINT64_MAX where there is no limit.
ByteCount pinned_memory_limit();
// Whether so much can be pinned now; who has a low limit may be allowed to pin in spite of it.
bool can_pin(ByteCount bytes);
// That limit, and how it is raised wherever it may come from: "this process may pin 65536 bytes; ...".
std::string pinned_memory_advice();

struct CacheSizes {  // of the first core; 0 where the system does not say
    ByteCount level1_data, level2, level3;
};
CacheSizes cache_sizes();

}  // namespace tenon::os
