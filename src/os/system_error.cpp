#include "os/system_error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <string_view>
#include <system_error>

namespace tenon::os {
namespace {

std::string_view advice_for(int error_number) {
    switch (error_number) {
        case EMFILE:
            return "; this process has too many open files: raise its limit (ulimit -n)";
        case ENFILE:
            return "; the system has too many open files: raise fs.file-max";
        case ENOMEM:
            return "; memory or its limit is used up: free some, or lower TENON_SLOT_MEMORY_BYTES";
        case ENOSPC:
            return "; shared memory is used up: free some, or lower TENON_SLOT_MEMORY_BYTES";
        case EPERM:
        case EACCES:
            return "; the system forbids it: see the limits of this user or container";
        case ENOSYS:
            return "; this kernel lacks the call, or the container forbids it";
        default:
            return "";
    }
}

}  // namespace

std::unexpected<Error> system_error(std::string tried) { return system_error(std::move(tried), errno); }

std::unexpected<Error> system_error(std::string tried, int error_number) {
    return fail(Status::system_error,
                fmt::format("{}: {} (errno {}){}", tried, std::generic_category().message(error_number), error_number,
                            advice_for(error_number)));
}

}  // namespace tenon::os
