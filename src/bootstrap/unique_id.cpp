#include "bootstrap/unique_id.hpp"

#include <fmt/format.h>

#include <bit>
#include <span>

#include "bootstrap/bytes.hpp"
#include "bootstrap/digest.hpp"
#include "bootstrap/place.hpp"
#include "os/process.hpp"

namespace tenon {
namespace bootstrap {
namespace {

// Layout: magic, version, flags, checksum of what follows, secret, meeting, length of the place, place, zeros.
constexpr std::uint64_t magic = 0x4449756e6f6e6554;  // "TenonuID", little-endian
constexpr std::uint32_t version = 2;
constexpr std::uint32_t flag_by_job = 1;
constexpr std::size_t head_bytes = 8 + 4 + 4 + 8;
static_assert(head_bytes + 16 + 8 + 4 + place_bytes_limit == sizeof(UniqueId));

std::uint64_t checksum(const UniqueId& id) {
    const auto rest = std::span{id.bytes}.subspan(head_bytes);
    return digest({reinterpret_cast<const char*>(rest.data()), rest.size()}).low;
}

}  // namespace

std::string Invitation::socket_name(std::string_view host_id) const {
    std::string name = fmt::format("tenon-{}{:016x}", is_by_job ? "job-" : "", meeting);
    if (!host_id.empty()) name += fmt::format("-{:016x}", digest(host_id).low);
    return name;
}

UniqueId write_unique_id(const Invitation& invitation) {
    UniqueId id;
    ByteWriter body{std::span{id.bytes}.subspan(head_bytes)};
    body.put(invitation.secret);
    body.put(invitation.meeting);
    body.put_text(invitation.place, place_bytes_limit);
    ByteWriter head{id.bytes};
    head.put(magic);
    head.put(version);
    head.put(invitation.is_by_job ? flag_by_job : 0U);
    head.put(checksum(id));
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
    const bool is_whole = in.get<std::uint64_t>() == checksum(id);
    const Invitation invitation{in.get<Secret>(), in.get<std::uint64_t>(), flags == flag_by_job,
                                in.get_text(place_bytes_limit)};
    if (!is_whole || flags > flag_by_job || !read_place(invitation.place))
        return fail(Status::invalid_argument, "the unique id is damaged: pass all of its 128 bytes on unchanged");
    return invitation;
}

Result<Invitation> random_invitation() {
    Invitation invitation;
    if (auto filled = os::fill_random(invitation.secret.bytes); !filled) return std::unexpected(filled.error());
    if (auto filled = os::fill_random(std::as_writable_bytes(std::span{&invitation.meeting, 1})); !filled)
        return std::unexpected(filled.error());
    return invitation;
}

Result<Invitation> invitation_for_job(std::string_view job, std::string_view place) {
    if (place.size() > place_bytes_limit)
        return fail(
            Status::invalid_argument,
            fmt::format("the rendezvous \"{}\" is too long: {} characters at most, such as an address instead of "
                        "a name, or a shorter path (TENON_RENDEZVOUS)",
                        place, place_bytes_limit));
    if (auto read = read_place(place); !read) return std::unexpected(read.error());
    // All users of a host see the meeting's name, as that of a socket: it must not lead back to the job's name.
    const auto derived = [&](std::string_view use) {
        return Secret::derived_from(fmt::format("tenon {} of user {} job {}", use, os::user_id(), job));
    };
    return Invitation{.secret = derived("secret"),
                      .meeting = std::bit_cast<std::array<std::uint64_t, 2>>(derived("name"))[0],
                      .is_by_job = true,
                      .place = std::string{place}};
}

}  // namespace bootstrap

UniqueId unique_id_for_job(std::string_view job) {
    return bootstrap::write_unique_id(bootstrap::invitation_for_job(job, {}).value());
}

}  // namespace tenon
