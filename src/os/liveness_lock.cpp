#include "os/liveness_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "os/system_error.hpp"

namespace tenon::os::liveness_lock {
namespace {

struct flock one_byte(short kind, std::uint64_t byte) {
    struct flock lock {};
    lock.l_type = kind;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(byte);
    lock.l_len = 1;
    return lock;
}

}  // namespace

Result<void> hold(const FileDescriptor& file, std::uint64_t byte) {
    struct flock lock = one_byte(F_WRLCK, byte);
    if (fcntl(file.number(), F_SETLK, &lock) != 0)
        return system_error(fmt::format("cannot hold liveness lock {}", byte));
    return {};
}

Result<void> release(const FileDescriptor& file, std::uint64_t byte) {
    struct flock lock = one_byte(F_UNLCK, byte);
    if (fcntl(file.number(), F_SETLK, &lock) != 0)
        return system_error(fmt::format("cannot release liveness lock {}", byte));
    return {};
}

Result<bool> is_held(const FileDescriptor& file, std::uint64_t byte) {
    struct flock lock = one_byte(F_WRLCK, byte);
    if (fcntl(file.number(), F_GETLK, &lock) != 0)
        return system_error(fmt::format("cannot look at liveness lock {}", byte));
    return lock.l_type != F_UNLCK;
}

}  // namespace tenon::os::liveness_lock
