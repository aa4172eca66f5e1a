// What travels at a rendezvous, and the only code that reads or writes it.
//
// Between a process and the node of its host, over a local socket:
//   process -> node:  a proof, once; then a hello for each of its ranks, the process's arena with one of them
//   node -> process:  frames: the table, the segment and each arena (a descriptor each), to the process of the host's
//                     lowest rank each link (a descriptor and the host at its other end), go;  or, any time, a refusal
// Between the nodes of two hosts, over TCP, after the handshake (os/handshake.hpp; the connecting side claims where it
// listens):
//   parent -> child:  welcome, or elsewhere;  then the table, then go;  or, at any point, a refusal;  until go, perhaps
//                     knocks
//   child -> parent:  a host frame for each host below, before its ranks;  notes on a rank, before it;  ranks, as they
//                     come;  ready, when all below
//                     have been given the table;  or, at any point, a refusal;  until ready, perhaps knocks
//
// All sizes are fixed or bounded. Nothing is read before the proof or the handshake has shown that the sender knows the
// job's secret. The proof's and the refusal's layouts never change, so that different versions of Tenon can tell each
// other apart. Readers accept any bytes.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bootstrap/digest.hpp"
#include "bootstrap/meeting.hpp"

namespace tenon::bootstrap {

inline constexpr std::uint32_t wire_version = 5;
inline constexpr Rank rank_count_limit = 16'384;

inline constexpr std::size_t proof_bytes = 32;
using Proof = std::array<std::byte, proof_bytes>;
Proof write_proof(const Secret& secret, std::uint32_t version = wire_version);
// The sender's version of the wire; nothing when the sender is a stranger.
std::optional<std::uint32_t> read_proof(std::span<const std::byte, proof_bytes> bytes, const Secret& secret);

struct Hello {
    Introduction who{};         // where it takes data may lack the host, which the node then adds
    Agreement agreement{};      // its texts cut at what the wire holds
    Digest texts{};             // of its texts, whole
    bool offers_arena = false;  // comes with a descriptor, unless one came from this process before
    std::uint64_t patience_ms = 0;
    std::string obstacle{};  // NetworkSettings::obstacle
};
inline constexpr std::size_t build_bytes_limit = 64;
inline constexpr std::size_t configuration_bytes_limit = 1024;
inline constexpr std::size_t note_bytes_limit = 512;  // of preferences, and of an obstacle
inline constexpr std::size_t hello_bytes = 2360;
using HelloBytes = std::array<std::byte, hello_bytes>;
Digest digest_of_texts(const Agreement& agreement);
HelloBytes write_hello(const Hello& hello);
Result<Hello> read_hello(std::span<const std::byte, hello_bytes> bytes);

enum class FrameKind : std::uint32_t {
    table = 1,
    segment = 2,
    go = 3,
    refusal = 4,
    arena = 5,
    link = 6,
    welcome = 7,
    elsewhere = 8,
    host = 9,
    ranks = 10,
    ready = 11,
    note = 12,
    knock = 13,  // says nothing; the other host's system acknowledges it
};
struct FrameHeader {
    FrameKind kind{};
    std::uint32_t payload_bytes = 0;
};
inline constexpr std::size_t frame_header_bytes = 16;
Result<FrameHeader> read_frame_header(std::span<const std::byte, frame_header_bytes> bytes);

using Bytes = std::vector<std::byte>;
// Of segment, arena, go, ready and knock; or with what another frame of that kind held.
Bytes write_frame(FrameKind kind, std::span<const std::byte> payload = {});
Bytes write_refusal(const Error& error);
Error read_refusal(std::span<const std::byte> payload);

// Tells the nodes of a meeting apart: random.
using NodeToken = os::ProcessToken;

struct TableHost {
    NodeToken node;
    std::string name{};
    HostNetwork network{};
};
inline constexpr std::size_t host_name_limit = 64;
inline constexpr std::size_t preferences_limit = 8;  // different ones in a job that are told; the rest only differ
struct Table {
    os::Secret key;
    std::vector<TableHost> hosts;
    std::vector<Introduction> ranks;
    std::map<std::uint64_t, std::string> preferences{};
};
Bytes write_table(const Table& table);
Result<Table> read_table(std::span<const std::byte> payload);

Bytes write_link(std::int32_t host);
Result<std::int32_t> read_link(std::span<const std::byte> payload);

// By whom a host is taken in.
struct Welcome {
    NodeToken node;
    std::string host{};
};
Bytes write_welcome(const Welcome& welcome);
Result<Welcome> read_welcome(std::span<const std::byte> payload);
// Where another host listens; its name is empty where it has not yet said it.
struct Elsewhere {
    os::InternetAddress address{};
    std::string host{};
};
Bytes write_elsewhere(const Elsewhere& where);
Result<Elsewhere> read_elsewhere(std::span<const std::byte> payload);
// What a connection between hosts is for: to join the tree, or, by who has joined it, for a PacketCheck.
enum class Errand : std::uint32_t { join = 0, packet_check = 1 };
struct Claim {
    os::InternetAddress listens{};
    Errand errand = Errand::join;
};
os::Handshake::Claim write_claim(const Claim& claim);
Result<Claim> read_claim(const os::Handshake::Claim& bytes);

// A host introduces itself: what its first rank said must agree with what all others say.
struct HostHello {
    NodeToken node;
    std::string name{};
    Hello first{};
    HostNetwork network{};
};
Bytes write_host(const HostHello& host);
Result<HostHello> read_host(std::span<const std::byte> payload);

// What there is to say of a rank beside its row, which comes after it.
enum class NoteKind : std::uint32_t { preferences = 1, obstacle = 2 };
struct Note {
    NoteKind kind{};
    NodeToken node;
    Introduction who{};
    std::string text{};
};
Bytes write_note(const Note& note);
Result<Note> read_note(std::span<const std::byte> payload);

// Some ranks of one host.
struct RankRows {
    NodeToken node;
    std::uint64_t patience_ms = 0;  // the least of theirs
    std::vector<Introduction> ranks;
};
inline constexpr std::size_t rows_limit = 256;  // in a frame
Bytes write_rows(const RankRows& rows);
Result<RankRows> read_rows(std::span<const std::byte> payload);

}  // namespace tenon::bootstrap
