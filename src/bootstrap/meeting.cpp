#include "bootstrap/meeting.hpp"

#include <fmt/format.h>

#include "bootstrap/attendance.hpp"
#include "bootstrap/background.hpp"
#include "bootstrap/interfaces.hpp"
#include "os/memory.hpp"

namespace tenon {
namespace {

// Reading memory that a file does not back would kill the process.
Result<void> check_segment(const Meeting& meeting, ByteCount wanted) {
    if (meeting.memory.size() >= wanted.value) return {};
    return fail(Status::internal_error, fmt::format("the rendezvous sent a segment of {} bytes instead of {}",
                                                    meeting.memory.size(), wanted.value));
}

// Not open where there is no network: then the job is on one host.
Result<os::TcpListener> door_for_other_hosts(const NetworkSettings& network) {
    const auto own = bootstrap::own_interface(network.interface);
    if (!own) return std::unexpected(own.error());
    if (!*own) return os::TcpListener{};
    auto door = os::TcpListener::listen((*own)->address.with_port(0));
    if (!door) return std::unexpected(door.error());
    return *door ? std::move(**door) : os::TcpListener{};
}

}  // namespace

Result<UniqueId> create_unique_id(const NetworkSettings& network) {
    auto invitation = bootstrap::random_invitation();
    if (!invitation) return std::unexpected(invitation.error());
    auto door = door_for_other_hosts(network);
    if (!door) return std::unexpected(door.error());
    if (door->descriptor().valid()) invitation->place = door->address().text();
    const auto served = bootstrap::serve_in_background(
        {.invitation = *invitation, .network = network, .made_id = true, .door = std::move(*door)});
    if (!served) return std::unexpected(served.error());
    if (!*served) return fail(Status::system_error, "the name of the new unique id is taken already: try again");
    return bootstrap::write_unique_id(*invitation);
}

Result<std::shared_ptr<const Meeting>> meet(const UniqueId& id, Rank rank, const Agreement& agreement,
                                            const os::FileDescriptor* arena, os::Deadline deadline,
                                            const NetworkSettings& network) {
    const auto invitation = bootstrap::read_unique_id(id);
    if (!invitation) return std::unexpected(invitation.error());
    const auto cores = os::cores_of_this_thread();
    if (!cores) return std::unexpected(cores.error());
    const bootstrap::Hello hello{
        .who = {.rank = rank, .process = os::process_id(), .process_token = os::process_token(), .cores = *cores,
                .preferences = bootstrap::digest(agreement.preferences).low},
        .agreement = agreement,
        .texts = bootstrap::digest_of_texts(agreement),
        .offers_arena = arena != nullptr,
        .patience_ms = deadline.remaining_ms(),
        .obstacle = network.obstacle};
    auto meeting = bootstrap::Attendance::attend(id, *invitation, hello, arena, deadline, network);
    if (!meeting) return meeting;
    if (auto enough = check_segment(**meeting, agreement.segment); !enough) return std::unexpected(enough.error());
    return meeting;
}

}  // namespace tenon
