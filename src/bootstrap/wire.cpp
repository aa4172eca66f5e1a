#include "bootstrap/wire.hpp"

#include <fmt/format.h>

#include "bootstrap/bytes.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::uint64_t magic = 0x74654d6e6f6e6554;  // "TenonMet", little-endian
constexpr std::size_t cores_bytes = os::core_count_limit / 8;
constexpr std::size_t row_bytes = 4 + 4 + 4 + 4 + 4 + 16 + 24 + 8 + cores_bytes;
constexpr std::size_t token_bytes = sizeof(NodeToken);
constexpr std::size_t interface_name_limit = 16;
constexpr std::size_t network_bytes = 4 + interface_name_limit + 24 + 4 + 4;
constexpr std::size_t table_host_bytes = token_bytes + 4 + host_name_limit + network_bytes;
constexpr std::size_t table_head_bytes = 4 + 4 + 16 + 8;
constexpr std::size_t preferences_bytes = 8 + 4 + note_bytes_limit;
constexpr std::size_t refusal_text_limit = 4096;
constexpr std::size_t refusal_bytes = 4 + 4 + refusal_text_limit;
constexpr std::size_t host_bytes = token_bytes + 4 + host_name_limit + hello_bytes + network_bytes;
constexpr std::size_t note_bytes = 4 + 4 + token_bytes + row_bytes + 4 + note_bytes_limit;
constexpr std::size_t rows_head_bytes = token_bytes + 8 + 8;
constexpr std::size_t payload_limit =
    table_head_bytes + rank_count_limit * (row_bytes + table_host_bytes) + preferences_limit * preferences_bytes;
static_assert(refusal_bytes <= payload_limit && sizeof(os::InternetAddress) == 24);

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

Bytes frame(FrameKind kind, std::size_t payload_bytes) {
    Bytes bytes(frame_header_bytes + payload_bytes);
    ByteWriter out{bytes};
    out.put(magic);
    out.put(kind);
    out.put(static_cast<std::uint32_t>(payload_bytes));
    return bytes;
}

ByteWriter payload_of(Bytes& bytes) { return ByteWriter{std::span{bytes}.subspan(frame_header_bytes)}; }

// A frame whose payload is one value, and the value of such a one.
template <class T>
Bytes frame_of(FrameKind kind, const T& value) {
    auto bytes = frame(kind, sizeof value);
    payload_of(bytes).put(value);
    return bytes;
}

template <class T>
Result<T> only(std::span<const std::byte> payload, std::string_view what) {
    ByteReader in{payload};
    const auto value = in.get<T>();
    if (in.is_short() || in.left() > 0) return malformed(what);
    return value;
}

void put_row(ByteWriter& out, const Introduction& who) {
    out.put(who.rank);
    out.put(who.process);
    out.put(who.arena);
    out.put(who.host);
    out.put(who.networks);
    out.put(who.process_token);
    out.put(who.address);
    out.put(who.preferences);
    out.put(words_of(who.cores));
}

Introduction get_row(ByteReader& in) {
    Introduction who;
    who.rank = in.get<Rank>();
    who.process = in.get<pid_t>();
    who.arena = in.get<std::int32_t>();
    who.host = in.get<std::int32_t>();
    who.networks = in.get<NetworkSet>();
    who.process_token = in.get<os::ProcessToken>();
    who.address = in.get<os::InternetAddress>();
    who.preferences = in.get<std::uint64_t>();
    who.cores = cores_of(in.get<CoreWords>());
    return who;
}

void put_network(ByteWriter& out, const HostNetwork& network) {
    out.put_text(network.interface, interface_name_limit);
    out.put(network.address);
    out.put(network.mtu);
    out.put(network.speed_mbps);
}

HostNetwork get_network(ByteReader& in) {
    return {in.get_text(interface_name_limit), in.get<os::InternetAddress>(), in.get<std::uint32_t>(),
            in.get<std::uint32_t>()};
}

bool is_sane(const os::InternetAddress& address) { return address.known <= 1; }
bool is_sane(const Introduction& who) {
    return who.arena >= -1 && who.arena < rank_count_limit && is_sane(who.address);
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
    out.put(hello.who.address);
    out.put(hello.who.preferences);
    out.put(words_of(hello.who.cores));
    out.put(hello.agreement.rank_count);
    out.put(static_cast<std::uint32_t>(hello.offers_arena));
    out.put(hello.who.networks);
    out.put(hello.agreement.segment);
    out.put(hello.patience_ms);
    out.put(hello.texts);
    out.put_text(hello.agreement.build, build_bytes_limit);
    out.put_text(hello.agreement.configuration, configuration_bytes_limit);
    out.put_text(hello.agreement.preferences, note_bytes_limit);
    out.put_text(hello.obstacle, note_bytes_limit);
    return bytes;
}

Result<Hello> read_hello(std::span<const std::byte, hello_bytes> bytes) {
    ByteReader in{bytes};
    Hello hello;
    hello.who.rank = in.get<Rank>();
    hello.who.process = in.get<pid_t>();
    hello.who.process_token = in.get<os::ProcessToken>();
    hello.who.address = in.get<os::InternetAddress>();
    hello.who.preferences = in.get<std::uint64_t>();
    hello.who.cores = cores_of(in.get<CoreWords>());
    hello.agreement.rank_count = in.get<Rank>();
    const auto flags = in.get<std::uint32_t>();
    hello.offers_arena = flags == 1;
    hello.who.networks = in.get<NetworkSet>();
    hello.agreement.segment = in.get<ByteCount>();
    hello.patience_ms = in.get<std::uint64_t>();
    hello.texts = in.get<Digest>();
    hello.agreement.build = in.get_text(build_bytes_limit);
    hello.agreement.configuration = in.get_text(configuration_bytes_limit);
    hello.agreement.preferences = in.get_text(note_bytes_limit);
    hello.obstacle = in.get_text(note_bytes_limit);
    if (in.is_short() || flags > 1 || !is_sane(hello.who.address)) return malformed("hello");
    return hello;
}

Result<FrameHeader> read_frame_header(std::span<const std::byte, frame_header_bytes> bytes) {
    ByteReader in{bytes};
    if (in.get<std::uint64_t>() != magic) return malformed("reply");
    const FrameHeader header{in.get<FrameKind>(), in.get<std::uint32_t>()};
    if (header.kind < FrameKind::table || header.kind > FrameKind::knock || header.payload_bytes > payload_limit)
        return malformed("reply");
    return header;
}

Bytes write_frame(FrameKind kind, std::span<const std::byte> payload) {
    auto bytes = frame(kind, payload.size());
    std::ranges::copy(payload, bytes.begin() + frame_header_bytes);
    return bytes;
}

Bytes write_table(const Table& table) {
    auto bytes = frame(FrameKind::table,
                       table_head_bytes + table.hosts.size() * table_host_bytes + table.ranks.size() * row_bytes +
                           table.preferences.size() * preferences_bytes);
    ByteWriter out = payload_of(bytes);
    out.put(static_cast<std::uint32_t>(table.ranks.size()));
    out.put(static_cast<std::uint32_t>(table.hosts.size()));
    out.put(table.key);
    out.put(static_cast<std::uint64_t>(table.preferences.size()));
    for (const TableHost& host : table.hosts) {
        out.put(host.node);
        out.put_text(host.name, host_name_limit);
        put_network(out, host.network);
    }
    for (const Introduction& who : table.ranks) put_row(out, who);
    for (const auto& [digest, text] : table.preferences) {
        out.put(digest);
        out.put_text(text, note_bytes_limit);
    }
    return bytes;
}

Result<Table> read_table(std::span<const std::byte> payload) {
    ByteReader in{payload};
    const auto rank_count = in.get<std::uint32_t>();
    const auto host_count = in.get<std::uint32_t>();
    Table table{in.get<os::Secret>(), {}, {}};
    const auto different = in.get<std::uint64_t>();
    if (in.is_short() || rank_count > static_cast<std::uint32_t>(rank_count_limit) || host_count > rank_count ||
        different > preferences_limit ||
        in.left() != host_count * table_host_bytes + rank_count * row_bytes + different * preferences_bytes)
        return malformed("table of ranks");
    for (std::uint32_t host = 0; host < host_count; host++) {
        table.hosts.push_back({in.get<NodeToken>(), in.get_text(host_name_limit), get_network(in)});
        if (!is_sane(table.hosts.back().network.address)) return malformed("table of ranks");
    }
    for (std::uint32_t rank = 0; rank < rank_count; rank++) {
        table.ranks.push_back(get_row(in));
        const Introduction& who = table.ranks.back();
        if (!is_sane(who) || who.rank != static_cast<Rank>(rank) || who.host < 0 ||
            who.host >= static_cast<std::int32_t>(host_count))
            return malformed("table of ranks");
    }
    for (std::uint64_t i = 0; i < different; i++) {
        const auto digest = in.get<std::uint64_t>();
        table.preferences[digest] = in.get_text(note_bytes_limit);
    }
    return table;
}

Bytes write_link(std::int32_t host) { return frame_of(FrameKind::link, host); }
Result<std::int32_t> read_link(std::span<const std::byte> payload) { return only<std::int32_t>(payload, "link"); }

Bytes write_welcome(const Welcome& welcome) {
    auto bytes = frame(FrameKind::welcome, sizeof welcome.node + 4 + host_name_limit);
    ByteWriter out = payload_of(bytes);
    out.put(welcome.node);
    out.put_text(welcome.host, host_name_limit);
    return bytes;
}

Result<Welcome> read_welcome(std::span<const std::byte> payload) {
    ByteReader in{payload};
    Welcome welcome{in.get<NodeToken>(), in.get_text(host_name_limit)};
    if (in.is_short() || in.left() > 0) return malformed("welcome");
    return welcome;
}

Bytes write_elsewhere(const Elsewhere& where) {
    auto bytes = frame(FrameKind::elsewhere, sizeof where.address + 4 + host_name_limit);
    ByteWriter out = payload_of(bytes);
    out.put(where.address);
    out.put_text(where.host, host_name_limit);
    return bytes;
}

Result<Elsewhere> read_elsewhere(std::span<const std::byte> payload) {
    ByteReader in{payload};
    Elsewhere where{in.get<os::InternetAddress>(), in.get_text(host_name_limit)};
    if (in.is_short() || in.left() > 0 || !where.address.valid()) return malformed("address");
    return where;
}

os::Handshake::Claim write_claim(const Claim& claim) {
    os::Handshake::Claim bytes{};
    ByteWriter out{bytes};
    out.put(claim.listens);
    out.put(claim.errand);
    return bytes;
}

Result<Claim> read_claim(const os::Handshake::Claim& bytes) {
    ByteReader in{bytes};
    const Claim claim{in.get<os::InternetAddress>(), in.get<Errand>()};
    if (!claim.listens.valid() || claim.errand > Errand::packet_check) return malformed("claim");
    return claim;
}

Bytes write_host(const HostHello& host) {
    auto bytes = frame(FrameKind::host, host_bytes);
    ByteWriter out = payload_of(bytes);
    out.put(host.node);
    out.put_text(host.name, host_name_limit);
    out.put(write_hello(host.first));
    put_network(out, host.network);
    return bytes;
}

Result<HostHello> read_host(std::span<const std::byte> payload) {
    if (payload.size() != host_bytes) return malformed("introduction of a host");
    ByteReader in{payload};
    HostHello host{in.get<NodeToken>(), in.get_text(host_name_limit), {}};
    auto first = read_hello(in.get<HelloBytes>());
    if (!first) return std::unexpected(first.error());
    host.first = std::move(*first);
    host.network = get_network(in);
    if (!is_sane(host.network.address)) return malformed("introduction of a host");
    return host;
}

Bytes write_note(const Note& note) {
    auto bytes = frame(FrameKind::note, note_bytes);
    ByteWriter out = payload_of(bytes);
    out.put(note.kind);
    out.put(std::uint32_t{0});
    out.put(note.node);
    put_row(out, note.who);
    out.put_text(note.text, note_bytes_limit);
    return bytes;
}

Result<Note> read_note(std::span<const std::byte> payload) {
    if (payload.size() != note_bytes) return malformed("note on a rank");
    ByteReader in{payload};
    Note note;
    note.kind = in.get<NoteKind>();
    static_cast<void>(in.get<std::uint32_t>());
    note.node = in.get<NodeToken>();
    note.who = get_row(in);
    note.text = in.get_text(note_bytes_limit);
    const bool is_known = note.kind == NoteKind::preferences || note.kind == NoteKind::obstacle;
    if (!is_known || !is_sane(note.who)) return malformed("note on a rank");
    return note;
}

Bytes write_rows(const RankRows& rows) {
    auto bytes = frame(FrameKind::ranks, rows_head_bytes + rows.ranks.size() * row_bytes);
    ByteWriter out = payload_of(bytes);
    out.put(rows.node);
    out.put(rows.patience_ms);
    out.put(static_cast<std::uint64_t>(rows.ranks.size()));
    for (const Introduction& who : rows.ranks) put_row(out, who);
    return bytes;
}

Result<RankRows> read_rows(std::span<const std::byte> payload) {
    ByteReader in{payload};
    RankRows rows{in.get<NodeToken>(), in.get<std::uint64_t>(), {}};
    const auto count = in.get<std::uint64_t>();
    if (in.is_short() || count > rows_limit || in.left() != count * row_bytes) return malformed("list of ranks");
    for (std::uint64_t i = 0; i < count; i++) {
        rows.ranks.push_back(get_row(in));
        if (!is_sane(rows.ranks.back())) return malformed("list of ranks");
    }
    return rows;
}

Bytes write_refusal(const Error& error) {
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
