#include "os/handshake.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/assert.hpp"
#include "os/process.hpp"

namespace tenon::os {
namespace {

constexpr std::uint64_t magic = 0x656b6168536e6554;  // "TenShake", little-endian
constexpr std::size_t random_bytes = 16;

// A greeting: magic, version, zeros, random bytes. A message of the connecting side goes on with claim and proof.
constexpr std::size_t version_offset = 8, random_offset = 16, greeting_bytes = 32;
static_assert(random_offset + random_bytes == greeting_bytes);

}  // namespace

bool Secret::equals(const Secret& other) const {
    return sodium_memcmp(bytes.data(), other.bytes.data(), bytes.size()) == 0;
}

Secret Secret::derived_from(std::string_view text) {
    Secret derived;
    const int made = crypto_generichash(reinterpret_cast<unsigned char*>(derived.bytes.data()), derived.bytes.size(),
                                        reinterpret_cast<const unsigned char*>(text.data()), text.size(), nullptr, 0);
    TENON_ASSERT(made == 0, "BLAKE2b takes any text");
    return derived;
}

Secret Secret::bound_to(std::uint16_t port) const {
    Secret bound;
    const int made = crypto_generichash(reinterpret_cast<unsigned char*>(bound.bytes.data()), bound.bytes.size(),
                                        reinterpret_cast<const unsigned char*>(&port), sizeof port,
                                        reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    TENON_ASSERT(made == 0, "BLAKE2b takes any text and a key of 16 bytes");
    return bound;
}

Handshake Handshake::accepting(const Secret& secret, std::uint32_t version) { return {secret, version, true, Claim{}}; }
Handshake Handshake::connecting(const Secret& secret, std::uint32_t version, const Claim& claim) {
    return {secret, version, false, claim};
}

// A proof covers all that came before it, so each of the three messages, and each side's, has another one.
Handshake::Proof Handshake::proof_of(std::size_t bytes) const {
    Proof proof;
    const auto as_bytes = [](const std::byte* at) { return reinterpret_cast<const unsigned char*>(at); };
    const int made = crypto_generichash(reinterpret_cast<unsigned char*>(proof.data()), proof.size(),
                                        as_bytes(transcript_.data()), bytes, as_bytes(secret_.bytes.data()),
                                        secret_.bytes.size());
    TENON_ASSERT(made == 0, "BLAKE2b takes any text and a key of 16 bytes");
    return proof;
}

void Handshake::write_greeting(std::size_t at) {
    std::memcpy(transcript_.data() + at, &magic, sizeof magic);
    std::memcpy(transcript_.data() + at + version_offset, &version_, sizeof version_);
}

std::uint32_t Handshake::version_at(std::size_t at) const {
    std::uint32_t version = 0;
    std::memcpy(&version, transcript_.data() + at + version_offset, sizeof version);
    return version;
}

Result<void> Handshake::write_message() {
    if (message_ < 2) {
        write_greeting(at_);
        const auto random = std::span{transcript_}.subspan(at_ + random_offset, random_bytes);
        if (auto filled = fill_random(random); !filled) return filled;
    }
    if (message_ == 1) std::ranges::copy(claim_, transcript_.data() + at_ + greeting_bytes);
    if (message_ == 0) return {};
    const std::size_t proof_at = ends[message_] - proof_bytes;
    std::ranges::copy(proof_of(proof_at), transcript_.data() + proof_at);
    return {};
}

Result<void> Handshake::check_proof(std::size_t at) {
    const Proof wanted = proof_of(at);
    if (sodium_memcmp(wanted.data(), transcript_.data() + at, proof_bytes) == 0) return {};
    is_stranger_ = true;
    return fail(Status::remote_error, "the other side does not know the job's secret");
}

Result<void> Handshake::check_message() {
    if (message_ == 0) {
        std::uint64_t found = 0;
        std::memcpy(&found, transcript_.data(), sizeof found);
        if (found == magic) return {};
        is_stranger_ = true;
        return fail(Status::remote_error, "the other side does not speak Tenon's protocol");
    }
    if (message_ == 1) std::memcpy(claim_.data(), transcript_.data() + ends[0] + greeting_bytes, claim_bytes);
    return check_proof(ends[message_] - proof_bytes);
}

Result<bool> Handshake::check_versions() const {
    const std::uint32_t theirs = version_at(accepts_ ? ends[0] : 0);
    if (theirs == version_) return true;
    return fail(Status::mismatch, fmt::format("the other side speaks version {} of Tenon's protocol, this one version "
                                              "{}: use one build of Tenon in all processes of the job",
                                              theirs, version_));
}

// Versions are compared last, so that both sides learn of a difference.
Result<bool> Handshake::advance(StreamSocket& socket) {
    while (message_ < ends.size()) {
        if (sends() && !written_) {
            if (auto written = write_message(); !written) return std::unexpected(written.error());
            written_ = true;
        }
        const auto rest = std::span{transcript_}.subspan(at_, ends[message_] - at_);
        const iovec part{rest.data(), rest.size()};
        const auto moved = sends() ? socket.send_some(std::span{&part, 1}) : socket.receive_some(rest);
        if (!moved) return std::unexpected(moved.error());
        if (*moved == 0) return false;
        at_ += *moved;
        if (at_ < ends[message_]) continue;
        if (!sends())
            if (auto fine = check_message(); !fine) return std::unexpected(fine.error());
        message_++;
        written_ = false;
    }
    return check_versions();
}

}  // namespace tenon::os
