#include "tools/tenon/remote_ranks.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "bootstrap/interfaces.hpp"
#include "bootstrap/place.hpp"
#include "config/values.hpp"
#include "tools/tenon/job_name.hpp"

namespace tenon {
namespace {

constexpr std::uint64_t most_ranks = 4096;

// One word for a POSIX shell.
std::string quoted(std::string_view word) {
    std::string text = "'";
    for (const char c : word) {
        if (c == '\'') text += "'\\''";
        else text += c;
    }
    return text + "'";
}

// A host and what stands behind its colon. An IPv6 address has colons of its own, so it stands in brackets, which ssh
// does not take, or has no number behind it.
struct HostText {
    std::string_view user_at, host, count;
    bool has_count = false;
};

std::optional<HostText> split_host(std::string_view text) {
    const std::size_t name = text.rfind('@') + 1;  // 0 where there is none
    HostText parts{.user_at = text.substr(0, name), .host = text.substr(name), .count = {}};
    std::size_t colon = parts.host.find(':');
    if (parts.host.starts_with('[')) {
        const std::size_t end = parts.host.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        const std::string_view rest = parts.host.substr(end + 1);
        if (!rest.empty() && !rest.starts_with(':')) return std::nullopt;
        colon = rest.empty() ? std::string_view::npos : end + 1;
    } else if (colon != parts.host.rfind(':')) {
        return parts;
    }
    if (colon != std::string_view::npos) {
        parts.has_count = true;
        parts.count = parts.host.substr(colon + 1);
        parts.host = parts.host.substr(0, colon);
    }
    if (parts.host.starts_with('[')) parts.host = parts.host.substr(1, parts.host.size() - 2);
    return parts;
}

Result<HostPart> parse_host(std::string_view text, Rank first_rank) {
    const auto parts = split_host(text);
    if (!parts || parts->host.empty() || text.starts_with('-') || parts->host.starts_with('-'))
        return fail(Status::invalid_argument,
                    fmt::format("'{}' is no host; write for example a:4,b:4 or [fd00::1]:4,[fd00::2]:4", text));
    HostPart part{.host = fmt::format("{}{}", parts->user_at, parts->host), .first_rank = first_rank};
    if (!parts->has_count) return part;
    const auto count = parse_number(parts->count);
    if (!count || *count < 1 || *count > most_ranks)
        return fail(Status::invalid_argument,
                    fmt::format("'{}': behind the colon stands how many ranks, 1 to {}", text, most_ranks));
    part.rank_count = static_cast<Rank>(*count);
    return part;
}

// Whom to log in as is for the agent alone.
std::string address_of(const HostPart& part) { return part.host.substr(part.host.rfind('@') + 1); }

bool means_itself(const std::string& address) {
    return bootstrap::Place{.host = address}.is_loopback();
}

}  // namespace

Result<std::vector<HostPart>> parse_hosts(const std::string& list) {
    std::vector<HostPart> hosts;
    Rank first = 0;
    for (const std::string_view text : split(list, ',')) {
        auto part = parse_host(text, first);
        if (!part) return std::unexpected(part.error());
        first += part->rank_count;
        hosts.push_back(std::move(*part));
    }
    return hosts;
}

Result<std::string> address_of_first(const std::vector<HostPart>& hosts, std::string_view interface) {
    std::string first = address_of(hosts.front());
    const auto is_here = [](const HostPart& part) { return means_itself(address_of(part)); };
    if (!means_itself(first) || std::ranges::all_of(hosts, is_here)) return first;
    const auto own = bootstrap::own_interface(interface);
    if (!own) return std::unexpected(own.error());
    if (!*own || bootstrap::is_loopback((*own)->address))
        return fail(Status::invalid_argument,
                    fmt::format("the first host is {}, which is another one to each of the others, and this host has "
                                "no address to tell them: write the name or address by which they reach it", first));
    return (*own)->address.host_text();
}

std::vector<std::string> agent_command(const RemoteRun& run, const HostPart& part) {
    const HostPart& last = run.hosts.back();
    std::string line = fmt::format("cd {} && exec env MASTER_ADDR={}", quoted(run.folder), quoted(run.first_address));
    for (const std::string& variable : run.exported) line += " " + quoted(variable);
    line += fmt::format(" {} run --lifeline --first-rank {} --world-size {} -n {} --grace-ms {}{} --",
                        quoted(run.program), part.first_rank, last.first_rank + last.rank_count, part.rank_count,
                        run.grace_ms, run.prefix_output ? "" : " --no-prefix");
    for (const std::string& word : run.command) line += " " + quoted(word);
    std::vector<std::string> words;
    for (const std::string_view word : split(run.agent, ' '))
        if (!word.empty()) words.emplace_back(word);
    words.push_back(part.host);
    words.push_back(line);
    return words;
}

Result<void> write_job_name(int lifeline, std::string_view job) {
    const std::string line = fmt::format("{}\n", job);
    // So few bytes fit into a pipe that is empty.
    if (::write(lifeline, line.data(), line.size()) == static_cast<ssize_t>(line.size())) return {};
    return fail(Status::system_error, fmt::format("cannot write the job's name: {}", std::strerror(errno)));
}

Result<std::string> read_job_name(int lifeline) {
    std::string job;
    while (job.size() <= job_name_limit) {
        char next = 0;
        const ssize_t got = ::read(lifeline, &next, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return fail(Status::remote_error, "the launcher ended before it had named the job");
        if (next == '\n') return job;
        job += next;
    }
    return fail(Status::invalid_argument, "its standard input does not begin with a job's name; --lifeline is only for "
                                          "`tenon run --hosts` of the same version");
}

Result<std::vector<std::string>> exported_variables(const Environment& environment,
                                                    const std::vector<std::string>& asked) {
    std::vector<std::string> variables;
    for (const auto& [name, value] : environment)
        if (name.starts_with("TENON_") && name != "TENON_JOB") variables.push_back(name + "=" + value);
    for (const std::string& text : asked) {
        const std::string name = text.substr(0, text.find('='));
        if (name == "TENON_JOB")
            return fail(Status::invalid_argument,
                        "--export TENON_JOB: the ranks get the name that --job gives, or a new one");
        const auto at = environment.find(name);
        if (name.size() < text.size()) variables.push_back(text);
        else if (at != environment.end()) variables.push_back(name + "=" + at->second);
        else return fail(Status::invalid_argument, fmt::format("--export {}: there is no such variable", name));
    }
    return variables;
}

}  // namespace tenon
