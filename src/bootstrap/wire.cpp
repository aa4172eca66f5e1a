#include "bootstrap/wire.hpp"

#include <fmt/format.h>

#include "bootstrap/bytes.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::uint64_t magic = 0x74654d6e6f6e6554;  // "TenonMet", little-endian
constexpr std::size_t table_row_bytes = 4 + 4 + 16 + os::core_count_limit / 8;
constexpr std::size_t table_head_bytes = 4 + 4;
constexpr std::size_t refusal_text_limit = 4096;
constexpr std::size_t refusal_bytes = 4 + 4 + refusal_text_limit;
constexpr std::size_t payload_limit = table_head_bytes + rank_count_limit * table_row_bytes;
static_assert(refusal_bytes <= payload_limit);

std::unexpected<Error> malformed(std::string_view what) {
    return fail(Status::internal_error, fmt::format("the rendezvous received a malformed {}", what));
}

using CoreWords = std::array<std::uint64_t, os::core_count_limit / 64>;

CoreWords words_of(const os::CoreSet& cores) {
    CoreWords words{};
    for (std::size_t core = 0; core < cores.size(); core++)
        words[core / 64] |= static_cast<std::uint64_t>(cores[core]) << core % 64;
    return words;
}

os::CoreSet cores_of(const CoreWords& words) {
    os::CoreSet cores;
    for (std::size_t core = 0; core < cores.size(); core++) cores[core] = (words[core / 64] >> core % 64 & 1) != 0;
    return cores;
}

std::vector<std::byte> frame(FrameKind kind, std::size_t payload_bytes) {
    std::vector<std::byte> bytes(frame_header_bytes + payload_bytes);
    ByteWriter out{bytes};
    out.put(magic);
    out.put(kind);
    out.put(static_cast<std::uint32_t>(payload_bytes));
    return bytes;
}

ByteWriter payload_of(std::vector<std::byte>& bytes) {
    return ByteWriter{std::span{bytes}.subspan(frame_header_bytes)};
}

}  // namespace

Proof write_proof(const Secret& secret, std::uint32_t version) {
    Proof bytes{};
    ByteWriter out{bytes};
    out.put(magic);
    out.put(secret);
    out.put(version);
    return bytes;
}

std::optional<std::uint32_t> read_proof(std::span<const std::byte, proof_bytes> bytes, const Secret& secret) {
    ByteReader in{bytes};
    const bool is_magic = in.get<std::uint64_t>() == magic;
    const bool is_secret = in.get<Secret>().equals(secret);
    if (!is_magic || !is_secret) return std::nullopt;
    return in.get<std::uint32_t>();
}

Digest digest_of_texts(const Agreement& agreement) { return digest(agreement.build + '\0' + agreement.configuration); }

HelloBytes write_hello(const Hello& hello) {
    HelloBytes bytes{};
    ByteWriter out{bytes};
    out.put(hello.who.rank);
    out.put(hello.who.process);
    out.put(hello.who.process_token);
    out.put(words_of(hello.who.cores));
    out.put(hello.agreement.rank_count);
    out.put(static_cast<std::uint32_t>(hello.offers_arena));
    out.put(hello.agreement.segment);
    out.put(hello.patience_ms);
    out.put(hello.texts);
    out.put_text(hello.agreement.build, build_bytes_limit);
    out.put_text(hello.agreement.configuration, configuration_bytes_limit);
    return bytes;
}

Result<Hello> read_hello(std::span<const std::byte, hello_bytes> bytes) {
    ByteReader in{bytes};
    Hello hello;
    hello.who.rank = in.get<Rank>();
    hello.who.process = in.get<pid_t>();
    hello.who.process_token = in.get<os::ProcessToken>();
    hello.who.cores = cores_of(in.get<CoreWords>());
    hello.agreement.rank_count = in.get<Rank>();
    const auto flags = in.get<std::uint32_t>();
    hello.offers_arena = flags == 1;
    hello.agreement.segment = in.get<ByteCount>();
    hello.patience_ms = in.get<std::uint64_t>();
    hello.texts = in.get<Digest>();
    hello.agreement.build = in.get_text(build_bytes_limit);
    hello.agreement.configuration = in.get_text(configuration_bytes_limit);
    if (in.is_short() || flags > 1) return malformed("hello");
    return hello;
}

Result<FrameHeader> read_frame_header(std::span<const std::byte, frame_header_bytes> bytes) {
    ByteReader in{bytes};
    if (in.get<std::uint64_t>() != magic) return malformed("reply");
    const FrameHeader header{in.get<FrameKind>(), in.get<std::uint32_t>()};
    if (header.kind < FrameKind::table || header.kind > FrameKind::refusal || header.payload_bytes > payload_limit)
        return malformed("reply");
    return header;
}

std::vector<std::byte> write_frame(FrameKind kind) { return frame(kind, 0); }

std::vector<std::byte> write_table(std::span<const Introduction> ranks, std::size_t arena_count) {
    auto bytes = frame(FrameKind::table, table_head_bytes + ranks.size() * table_row_bytes);
    ByteWriter out = payload_of(bytes);
    out.put(static_cast<std::uint32_t>(ranks.size()));
    out.put(static_cast<std::uint32_t>(arena_count));
    for (const Introduction& who : ranks) {
        out.put(who.process);
        out.put(who.arena);
        out.put(who.process_token);
        out.put(words_of(who.cores));
    }
    return bytes;
}

Result<Table> read_table(std::span<const std::byte> payload) {
    ByteReader in{payload};
    const auto rank_count = in.get<std::uint32_t>();
    const auto arena_count = in.get<std::uint32_t>();
    if (in.is_short() || in.left() != rank_count * table_row_bytes || arena_count > rank_count)
        return malformed("table of ranks");
    Table table{std::vector<Introduction>(rank_count), arena_count};
    for (std::uint32_t rank = 0; rank < rank_count; rank++) {
        Introduction& who = table.ranks[rank];
        who.rank = static_cast<Rank>(rank);
        who.process = in.get<pid_t>();
        who.arena = in.get<std::int32_t>();
        who.process_token = in.get<os::ProcessToken>();
        who.cores = cores_of(in.get<CoreWords>());
        if (who.arena < -1 || who.arena >= static_cast<std::int32_t>(arena_count)) return malformed("table of ranks");
    }
    return table;
}

std::vector<std::byte> write_refusal(const Error& error) {
    auto bytes = frame(FrameKind::refusal, refusal_bytes);
    ByteWriter out = payload_of(bytes);
    out.put(static_cast<std::int32_t>(error.status));
    out.put_text(error.message, refusal_text_limit);
    return bytes;
}

Error read_refusal(std::span<const std::byte> payload) {
    ByteReader in{payload};
    const auto status = in.get<std::int32_t>();
    std::string message = in.get_text(refusal_text_limit);
    const bool is_known = status > static_cast<int>(Status::success) && status <= static_cast<int>(Status::aborted);
    if (message.empty()) message = "the rendezvous refused without saying why";
    return {is_known ? static_cast<Status>(status) : Status::internal_error, std::move(message)};
}

}  // namespace tenon::bootstrap
