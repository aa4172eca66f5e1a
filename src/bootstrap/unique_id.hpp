// The 128 bytes that bring the ranks of one job together, and nobody else.
//
// A UniqueId carries a secret, the name of the local sockets on which the meeting is served on each host, and where
// hosts find the one that serves it all (place.hpp). It is made in one process and travels to the others by any means
// the user has; who has it may join the job, so it is to be kept like a password. Or every rank derives it from the
// job's name; then the name is no secret, and what keeps strangers out on one host is that a meeting only admits
// processes of its own user.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "os/handshake.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

struct UniqueId {
    std::array<std::byte, 128> bytes{};
    friend auto operator<=>(const UniqueId&, const UniqueId&) = default;
};

// The same on every rank of the job, for this user; all ranks are on one host. For several see unique_id_for_launch.
UniqueId unique_id_for_job(std::string_view job);

namespace bootstrap {

using os::Secret;

// What a UniqueId says.
struct Invitation {
    Secret secret;
    std::uint64_t meeting = 0;  // tells meetings apart in names that all can see
    bool is_by_job = false;     // derived from a job's name: who has rank 0 serves all; otherwise who made the id does
    std::string place{};        // where hosts find that one (place.hpp)

    // Processes that share one share a host; `host_id` sets some of a host's apart.
    std::string socket_name(std::string_view host_id = {}) const;
};
inline constexpr std::size_t place_bytes_limit = 76;

UniqueId write_unique_id(const Invitation& invitation);
Result<Invitation> read_unique_id(const UniqueId& id);
Result<Invitation> random_invitation();
// An error when the place does not fit.
Result<Invitation> invitation_for_job(std::string_view job, std::string_view place);

}  // namespace bootstrap
}  // namespace tenon
