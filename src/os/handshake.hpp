// How two ends of a socket between hosts prove to each other that both know a secret, before either reads anything
// else.
//
//   accepting -> connecting:  a challenge: magic, version, a fresh random number
//   connecting -> accepting:  an answer: a fresh random number, version, a claim (who it is), a proof over all of it
//   accepting -> connecting:  a proof over all of it
//
// The secret itself never travels, and what somebody recorded is worth nothing the next time. Proofs are keyed BLAKE2b.
// All lengths are fixed. Versions are compared only after the proofs, so that different builds of one job can tell each
// other apart, and their layouts never change.
//
// A resumable state machine that never waits: call advance() whenever the socket may be ready, until it is true.
// Errors: remote_error when the other side left or is a stranger (is_stranger() tells), mismatch when it has another
// version. One thread at a time.
#pragma once

#include <array>
#include <string_view>

#include "os/socket.hpp"

namespace tenon::os {

struct Secret {
    std::array<std::byte, 16> bytes{};
    // The same for the same text (its BLAKE2b). It leads back neither to the text nor to what others like it give.
    static Secret derived_from(std::string_view text);
    // Takes the same time whatever the bytes, so that nobody can guess the secret piece by piece.
    bool equals(const Secret& other) const;
    // Another one, which only who knows this one can make: for what listens at this port, so that nobody who listens at
    // another can pass the handshake on to it.
    Secret bound_to(std::uint16_t port) const;
};

class Handshake {
public:
    static constexpr std::size_t claim_bytes = 32;
    using Claim = std::array<std::byte, claim_bytes>;

    static Handshake accepting(const Secret& secret, std::uint32_t version);
    // `claim` is what this side says of itself; the other side can trust it once the handshake is done.
    static Handshake connecting(const Secret& secret, std::uint32_t version, const Claim& claim);

    Result<bool> advance(StreamSocket& socket);
    bool is_stranger() const { return is_stranger_; }
    // Something of it has travelled.
    bool has_begun() const { return at_ > 0; }
    // The connecting side has sent its proof: who leaves from here on does not accept it, or has ended.
    bool awaits_acceptance() const { return !accepts_ && message_ + 1 == ends.size(); }
    const Claim& claim() const { return claim_; }
    // Which events of the socket to wait for.
    short awaits() const { return sends() ? POLLOUT : POLLIN; }

private:
    static constexpr std::size_t proof_bytes = 32;
    // Where the three messages end in the transcript; the accepting side sends the first and the last.
    static constexpr std::array<std::size_t, 3> ends{32, 32 + 32 + claim_bytes + proof_bytes,
                                                     32 + 32 + claim_bytes + proof_bytes + proof_bytes};
    using Proof = std::array<std::byte, proof_bytes>;

    Handshake(const Secret& secret, std::uint32_t version, bool accepts, const Claim& claim)
        : secret_{secret}, claim_{claim}, version_{version}, accepts_{accepts} {}
    bool sends() const { return (message_ % 2 == 0) == accepts_; }
    Result<void> write_message();
    Result<void> check_message();
    void write_greeting(std::size_t at);
    std::uint32_t version_at(std::size_t at) const;
    Proof proof_of(std::size_t bytes) const;  // over so much of the transcript
    Result<void> check_proof(std::size_t at);
    Result<bool> check_versions() const;

    Secret secret_;
    Claim claim_;
    std::uint32_t version_;
    bool accepts_, written_ = false, is_stranger_ = false;
    std::array<std::byte, ends.back()> transcript_{};  // all that has travelled, in order
    std::size_t at_ = 0, message_ = 0;                 // what of it has; which message is next
};

}  // namespace tenon::os
