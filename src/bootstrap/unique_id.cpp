#include "bootstrap/unique_id.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "bootstrap/bytes.hpp"
#include "bootstrap/digest.hpp"
#include "os/process.hpp"

namespace tenon {
namespace bootstrap {
namespace {

// Layout: magic, version, flags, secret, length of the name, name, zeros.
constexpr std::uint64_t magic = 0x4449756e6f6e6554;  // "TenonuID", little-endian
constexpr std::uint32_t version = 1;
constexpr std::uint32_t flag_rank_zero_serves = 1;
constexpr std::size_t name_bytes_limit = 80;

bool is_name(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    });
}

}  // namespace

UniqueId write_unique_id(const Invitation& invitation) {
    UniqueId id;
    ByteWriter out{id.bytes};
    out.put(magic);
    out.put(version);
    out.put(invitation.rank_zero_serves ? flag_rank_zero_serves : 0U);
    out.put(invitation.secret);
    out.put_text(invitation.socket_name, name_bytes_limit);
    return id;
}

Result<Invitation> read_unique_id(const UniqueId& id) {
    ByteReader in{id.bytes};
    if (in.get<std::uint64_t>() != magic)
        return fail(Status::invalid_argument,
                    "this is not a unique id: make one with tenonGetUniqueId and pass all of its 128 bytes on");
    if (const auto found = in.get<std::uint32_t>(); found != version)
        return fail(Status::invalid_argument, fmt::format("the unique id has version {}, this Tenon makes version {}: "
                                                          "use one Tenon in all processes of the job",
                                                          found, version));
    const auto flags = in.get<std::uint32_t>();
    Invitation invitation{in.get<Secret>(), in.get_text(name_bytes_limit), flags == flag_rank_zero_serves};
    if (flags > flag_rank_zero_serves || !is_name(invitation.socket_name))
        return fail(Status::invalid_argument, "the unique id is damaged: pass all of its 128 bytes on unchanged");
    return invitation;
}

Result<Invitation> random_invitation() {
    Invitation invitation;
    std::uint64_t name[2];
    if (auto filled = os::fill_random(invitation.secret.bytes); !filled) return std::unexpected(filled.error());
    if (auto filled = os::fill_random(std::as_writable_bytes(std::span{name})); !filled)
        return std::unexpected(filled.error());
    invitation.socket_name = fmt::format("tenon-{:016x}{:016x}", name[0], name[1]);
    return invitation;
}

}  // namespace bootstrap

UniqueId unique_id_for_job(std::string_view job) {
    const auto derived = [&](std::string_view use) {
        return bootstrap::digest(fmt::format("tenon {} of user {} job {}", use, os::user_id(), job));
    };
    const bootstrap::Digest name = derived("name");
    return bootstrap::write_unique_id({.secret = std::bit_cast<bootstrap::Secret>(derived("secret")),
                                       .socket_name = fmt::format("tenon-job-{:016x}{:016x}", name.high, name.low),
                                       .rank_zero_serves = true});
}

}  // namespace tenon
