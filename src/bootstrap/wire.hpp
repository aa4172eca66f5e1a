// What travels over a rendezvous connection, and the only code that reads or writes it.
//
//   process -> server:  a proof, once; then a hello for each of its ranks, the process's arena with one of them
//   server -> process:  frames: a table, a descriptor for the segment and for each arena, go;  or, at any point, a
//   refusal
//
// All sizes are fixed or bounded. Nothing is read before the proof has shown that the sender knows the job's secret.
// The proof's and the refusal's layouts never change, so that different versions of Tenon can tell each other apart.
// Readers accept any bytes.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bootstrap/digest.hpp"
#include "bootstrap/meeting.hpp"

namespace tenon::bootstrap {

inline constexpr std::uint32_t wire_version = 1;
inline constexpr Rank rank_count_limit = 16'384;

inline constexpr std::size_t proof_bytes = 32;
using Proof = std::array<std::byte, proof_bytes>;
Proof write_proof(const Secret& secret, std::uint32_t version = wire_version);
// The sender's version of the wire; nothing when the sender is a stranger.
std::optional<std::uint32_t> read_proof(std::span<const std::byte, proof_bytes> bytes, const Secret& secret);

struct Hello {
    Introduction who{};
    Agreement agreement{};      // its texts cut at what the wire holds
    Digest texts{};             // of its texts, whole
    bool offers_arena = false;  // comes with a descriptor, unless one came from this process before
    std::uint64_t patience_ms = 0;
};
inline constexpr std::size_t build_bytes_limit = 64;
inline constexpr std::size_t configuration_bytes_limit = 1024;
inline constexpr std::size_t hello_bytes = 1288;
using HelloBytes = std::array<std::byte, hello_bytes>;
Digest digest_of_texts(const Agreement& agreement);
HelloBytes write_hello(const Hello& hello);
Result<Hello> read_hello(std::span<const std::byte, hello_bytes> bytes);

enum class FrameKind : std::uint32_t { table = 1, descriptor = 2, go = 3, refusal = 4 };
struct FrameHeader {
    FrameKind kind{};
    std::uint32_t payload_bytes = 0;
};
inline constexpr std::size_t frame_header_bytes = 16;
Result<FrameHeader> read_frame_header(std::span<const std::byte, frame_header_bytes> bytes);

std::vector<std::byte> write_frame(FrameKind kind);  // descriptor, go
std::vector<std::byte> write_table(std::span<const Introduction> ranks, std::size_t arena_count);
std::vector<std::byte> write_refusal(const Error& error);

struct Table {
    std::vector<Introduction> ranks;
    std::size_t arena_count = 0;
};
Result<Table> read_table(std::span<const std::byte> payload);
Error read_refusal(std::span<const std::byte> payload);

}  // namespace tenon::bootstrap
