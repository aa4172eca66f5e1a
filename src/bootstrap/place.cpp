#include "bootstrap/place.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "config/values.hpp"
#include "os/private_file.hpp"
#include "os/process.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::string_view file_prefix = "file:";
constexpr std::string_view file_magic = "tenon-rendezvous-1";
constexpr std::uint16_t first_port = 20'000, last_port = 32'767;
constexpr std::uint16_t port_count = 8;
constexpr std::size_t file_bytes_limit = 512;

std::unexpected<Error> wrong(std::string_view text, std::string_view why) {
    return fail(Status::invalid_argument,
                fmt::format("the rendezvous \"{}\" is wrong: {}; it must be a host and port such as node0:29400 or "
                            "[fd77::1]:29400, or file: and a path (TENON_RENDEZVOUS)",
                            text, why));
}

std::string hex_of(const Secret& secret) {
    std::string text;
    for (const std::byte byte : secret.bytes) text += fmt::format("{:02x}", static_cast<unsigned>(byte));
    return text;
}

std::optional<Secret> secret_of(std::string_view text) {
    Secret secret;
    if (text.size() != 2 * secret.bytes.size()) return std::nullopt;
    for (std::size_t i = 0; i < secret.bytes.size(); i++) {
        const char* from = text.data() + 2 * i;
        std::uint8_t byte = 0;
        if (std::from_chars(from, from + 2, byte, 16).ptr != from + 2) return std::nullopt;
        secret.bytes[i] = std::byte{byte};
    }
    return secret;
}

std::string text_of(std::uint64_t meeting, const RootRecord& record) {
    return fmt::format("{}\n{:016x}\n{}\n{}\n", file_magic, meeting, record.address, hex_of(record.secret));
}

}  // namespace

bool Place::is_loopback() const { return host == "localhost" || host == "::1" || host.starts_with("127."); }

Result<Place> read_place(std::string_view text) {
    if (text.empty()) return Place{};
    if (text == place_told_by_pmix) return Place{.is_told_by_pmix = true};
    if (text.starts_with(file_prefix)) {
        if (text.size() == file_prefix.size()) return wrong(text, "the path is missing");
        return Place{.file = std::string{text.substr(file_prefix.size())}};
    }
    const bool is_bracketed = text.front() == '[' && text.find(']') != text.npos;
    const std::size_t bracket = is_bracketed ? text.find(']') : 0;
    // A bare IPv6 address has colons of its own, and no port.
    const bool is_bare = !is_bracketed && std::ranges::count(text, ':') > 1;
    const std::size_t colon = is_bare ? text.npos : text.find(':', bracket);
    const std::string_view host = is_bracketed ? text.substr(1, bracket - 1) : text.substr(0, colon);
    if (host.empty() || host.find_first_of(" /[]") != host.npos) return wrong(text, "that is no host");
    if (is_bracketed && std::min(colon, text.size()) != bracket + 1)
        return wrong(text, "something follows the bracket");
    if (colon == text.npos) return Place{.host = std::string{host}};
    const auto port = parse_number(text.substr(colon + 1));
    if (!port || *port == 0 || *port > 65'535) return wrong(text, "the port must be a number from 1 to 65535");
    return Place{.host = std::string{host}, .port = static_cast<std::uint16_t>(*port)};
}

std::vector<std::uint16_t> ports_of(const Place& place, std::uint64_t meeting) {
    if (place.port != 0) return {place.port};
    constexpr std::uint64_t groups = (last_port + 1 - first_port) / port_count;
    std::vector<std::uint16_t> ports;
    for (std::uint16_t i = 0; i < port_count; i++)
        ports.push_back(static_cast<std::uint16_t>(first_port + meeting % groups * port_count + i));
    return ports;
}

Result<void> write_root_file(const std::string& path, std::uint64_t meeting, const RootRecord& record) {
    namespace fs = std::filesystem;
    const std::string made = fmt::format("{}.{:016x}", path, os::process_token().low);
    std::error_code error;
    if (auto written = os::write_private_file(made, text_of(meeting, record)); !written)
        return fail(Status::system_error, fmt::format("{}: see that the folder is there and may be written to, or set "
                                                      "TENON_RENDEZVOUS to a host and port",
                                                      written.error().message));
    fs::rename(made, path, error);
    if (!error) return {};
    std::error_code ignored;
    fs::remove(made, ignored);
    return fail(Status::system_error, fmt::format("cannot rename {} to {}: {}", made, path, error.message()));
}

Result<RootRecord> read_root_file(const std::string& path, std::uint64_t meeting) {
    const auto text = os::read_private_file(path, file_bytes_limit);
    if (!text) return std::unexpected(text.error());
    const auto lines = split(*text, '\n');
    if (lines.size() != 5 || lines[0] != file_magic)
        return fail(Status::remote_error, fmt::format("{} was not written by this version of Tenon", path));
    if (lines[1] != fmt::format("{:016x}", meeting))
        return fail(Status::remote_error, fmt::format("{} is of another job", path));
    const auto secret = secret_of(lines[3]);
    if (!secret || !read_place(lines[2])) return fail(Status::remote_error, fmt::format("{} is damaged", path));
    return RootRecord{std::string{lines[2]}, *secret};
}

void remove_root_file(const std::string& path, std::uint64_t meeting, const RootRecord& record) {
    std::error_code ignored;
    const auto text = os::read_private_file(path, file_bytes_limit);
    if (text && *text == text_of(meeting, record)) std::filesystem::remove(path, ignored);
}

}  // namespace tenon::bootstrap
