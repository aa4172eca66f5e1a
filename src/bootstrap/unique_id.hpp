// The 128 bytes that bring the ranks of one job together, and nobody else.
//
// A UniqueId carries a secret and the abstract name of the local socket on which the meeting is served. It is made in
// one process and travels to the others by any means the user has; who has it may join the job, so it is to be kept
// like a password. Or every rank derives it from the job's name; then the name is no secret, and what keeps strangers
// out is that a meeting only admits processes of its own user.
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

// The same on every rank of the job, for this user. Rank 0 serves the meeting.
UniqueId unique_id_for_job(std::string_view job);

namespace bootstrap {

using os::Secret;

// What a UniqueId says.
struct Invitation {
    Secret secret;
    std::string socket_name;
    bool rank_zero_serves = false;
};

UniqueId write_unique_id(const Invitation& invitation);
Result<Invitation> read_unique_id(const UniqueId& id);
Result<Invitation> random_invitation();

}  // namespace bootstrap
}  // namespace tenon
