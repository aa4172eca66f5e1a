#include "os/peer_memory.hpp"

#include <fmt/format.h>
#include <sys/uio.h>

#include <cerrno>
#include <fstream>

#include "os/process.hpp"
#include "os/system_error.hpp"

namespace tenon::os {
namespace {

std::unexpected<Error> copy_failed(const char* what, pid_t process, std::uint64_t address, std::size_t bytes) {
    const int error_number = errno;
    auto error = system_error(fmt::format("cannot {} {} bytes at {:#x} of process {}", what, bytes, address, process),
                              error_number);
    if (error_number == ESRCH) error.error().status = Status::remote_error;
    return error;
}

// The system copies at most 2 GiB at once, and stops short at pages it cannot reach.
template <class Copy>
Result<void> copy_all(Copy copy, const char* what, pid_t process, std::uint64_t address, std::byte* own,
                      std::size_t bytes) {
    while (bytes > 0) {
        const iovec here{own, bytes};
        const iovec there{reinterpret_cast<void*>(address), bytes};
        const ssize_t copied = copy(process, &here, 1UL, &there, 1UL, 0UL);
        if (copied <= 0) return copy_failed(what, process, address, bytes);
        own += copied;
        address += static_cast<std::uint64_t>(copied);
        bytes -= static_cast<std::size_t>(copied);
    }
    return {};
}

}  // namespace

Result<void> read_peer_memory(pid_t process, std::uint64_t address, std::span<std::byte> into) {
    return copy_all(process_vm_readv, "read", process, address, into.data(), into.size());
}

Result<void> write_peer_memory(pid_t process, std::uint64_t address, std::span<const std::byte> from) {
    return copy_all(process_vm_writev, "write", process, address, const_cast<std::byte*>(from.data()), from.size());
}

bool peer_memory_is_readable() {
    static const bool readable = [] {
        const int here = 1;
        int copy = 0;
        const auto own = read_peer_memory(process_id(), reinterpret_cast<std::uintptr_t>(&here),
                                          std::as_writable_bytes(std::span(&copy, 1)));
        if (!own || copy != here) return false;
        std::ifstream scope("/proc/sys/kernel/yama/ptrace_scope");
        int restricted = 0;
        return !(scope >> restricted) || restricted == 0;
    }();
    return readable;
}

}  // namespace tenon::os
