#include "tools/tenon/job_name.hpp"

#include <fmt/format.h>
#include <sys/random.h>
#include <unistd.h>

#include <cstdint>

namespace tenon {

std::string new_job_name(std::string_view kind) {
    std::uint64_t chance = 0;
    // Where there is no randomness yet (a machine that has just started), the process's number alone must do.
    if (::getrandom(&chance, sizeof chance, 0) != sizeof chance) chance = 0;
    return fmt::format("{}-{}-{:016x}", kind, ::getpid(), chance);
}

}  // namespace tenon
