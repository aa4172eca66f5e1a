// Everything that the rendezvous reads from outside: proofs, hellos and what is judged of them, frames between
// processes and between hosts, unique ids, claims, places. The first byte chooses which; what follows is the bytes.
// Whatever they are, readers answer, and what they accept is sane.
#include <algorithm>
#include <cstdint>
#include <span>

#include "base/assert.hpp"
#include "bootstrap/place.hpp"
#include "bootstrap/roll_call.hpp"
#include "bootstrap/wire.hpp"

namespace tenon::bootstrap {
namespace {

void read_as_proof(std::span<const std::byte> bytes) {
    if (bytes.size() < proof_bytes) return;
    const Secret secret{};
    const bool accepted = read_proof(bytes.first<proof_bytes>(), secret).has_value();
    TENON_ASSERT(!accepted || std::equal(secret.bytes.begin(), secret.bytes.end(), bytes.begin() + 8),
                 "only the secret opens the door");
}

// Several hellos after each other are ranks of one job.
void read_as_hellos(std::span<const std::byte> bytes) {
    RollCall roll;
    for (; bytes.size() >= hello_bytes; bytes = bytes.subspan(hello_bytes)) {
        const auto hello = read_hello(bytes.first<hello_bytes>());
        if (!hello) return;
        TENON_ASSERT(hello->agreement.configuration.size() <= configuration_bytes_limit, "texts are bounded");
        if (!roll.enter({1, 2}, "host1", *hello)) return;
        TENON_ASSERT(roll.agreement().rank_count <= rank_count_limit, "jobs are bounded");
        TENON_ASSERT(roll.complete() == roll.missing().empty(), "a job is complete when nobody is missing");
    }
}

void read_as_table(std::span<const std::byte> payload) {
    const auto table = read_table(payload);
    if (!table) return;
    for (const Introduction& who : table->ranks)
        TENON_ASSERT(static_cast<std::size_t>(who.host) < table->hosts.size(), "hosts that are named exist");
}

void read_as_host(std::span<const std::byte> payload) {
    const auto host = read_host(payload);
    RollCall roll;
    if (!host || !roll.enter_host(*host)) return;
    TENON_ASSERT(!roll.complete(), "a host alone is no rank");
}

void read_as_rows(std::span<const std::byte> payload) {
    const auto rows = read_rows(payload);
    if (!rows) return;
    TENON_ASSERT(rows->ranks.size() <= rows_limit, "lists are bounded");
    RollCall roll;
    TENON_ASSERT(rows->ranks.empty() || !roll.enter(rows->node, rows->ranks[0]), "ranks come after their host");
}

void read_as_frame(std::span<const std::byte> bytes) {
    if (bytes.size() < frame_header_bytes) return;
    const auto header = read_frame_header(bytes.first<frame_header_bytes>());
    const auto payload = bytes.subspan(frame_header_bytes);
    if (!header || header->payload_bytes > payload.size()) return;
    const auto own = payload.first(header->payload_bytes);
    if (header->kind == FrameKind::refusal) TENON_ASSERT(!read_refusal(own).message.empty(), "a refusal says why");
    if (header->kind == FrameKind::table) read_as_table(own);
    if (header->kind == FrameKind::host) read_as_host(own);
    if (header->kind == FrameKind::ranks) read_as_rows(own);
    if (header->kind == FrameKind::link) static_cast<void>(read_link(own));
    if (header->kind == FrameKind::note) static_cast<void>(read_note(own));
    if (header->kind == FrameKind::welcome) static_cast<void>(read_welcome(own));
    if (header->kind == FrameKind::elsewhere) static_cast<void>(read_elsewhere(own));
}

void read_as_claim(std::span<const std::byte> bytes) {
    tenon::os::Handshake::Claim claim{};
    std::copy_n(bytes.begin(), std::min(bytes.size(), claim.size()), claim.begin());
    const auto read = read_claim(claim);
    TENON_ASSERT(!read || read->listens.valid(), "a claim says where");
}

void read_as_place(std::span<const std::byte> bytes) {
    const auto place = read_place({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    TENON_ASSERT(!place || place->is_one_host() == bytes.empty(), "a place is somewhere");
}

void read_as_unique_id(std::span<const std::byte> bytes) {
    UniqueId id;
    std::copy_n(bytes.begin(), std::min(bytes.size(), id.bytes.size()), id.bytes.begin());
    const auto invitation = read_unique_id(id);
    if (!invitation) return;
    const auto again = read_unique_id(write_unique_id(*invitation));
    TENON_ASSERT(again && again->socket_name() == invitation->socket_name() && again->place == invitation->place,
                 "an invitation reads back");
}

}  // namespace
}  // namespace tenon::bootstrap

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace tenon::bootstrap;
    if (size == 0) return 0;
    const auto bytes = std::as_bytes(std::span{data + 1, size - 1});
    switch (data[0] % 6) {
        case 0:
            read_as_proof(bytes);
            break;
        case 1:
            read_as_hellos(bytes);
            break;
        case 2:
            read_as_frame(bytes);
            break;
        case 3:
            read_as_unique_id(bytes);
            break;
        case 4:
            read_as_claim(bytes);
            break;
        case 5:
            read_as_place(bytes);
            break;
    }
    return 0;
}
