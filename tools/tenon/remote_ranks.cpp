#include "tools/tenon/remote_ranks.hpp"

#include <fmt/format.h>

#include "config/values.hpp"

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

Result<HostPart> parse_host(std::string_view text, Rank first_rank) {
    HostPart part{.host = std::string{text.substr(0, text.rfind(':'))}, .first_rank = first_rank};
    if (const auto colon = text.rfind(':'); colon != std::string_view::npos) {
        const auto count = parse_number(text.substr(colon + 1));
        if (!count || *count < 1 || *count > most_ranks)
            return fail(Status::invalid_argument,
                        fmt::format("'{}': behind the colon stands how many ranks, 1 to {}", text, most_ranks));
        part.rank_count = static_cast<Rank>(*count);
    }
    if (part.host.empty() || part.host.starts_with('-'))
        return fail(Status::invalid_argument, fmt::format("'{}' is no host; write for example a:4,b:4", text));
    return part;
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

std::vector<std::string> agent_command(const RemoteRun& run, const HostPart& part) {
    const HostPart& last = run.hosts.back();
    // Whom to log in as is for the agent alone.
    const std::string& first = run.hosts.front().host;
    std::string line = fmt::format("cd {} && exec env MASTER_ADDR={}", quoted(run.folder),
                                   quoted(first.substr(first.rfind('@') + 1)));
    for (const std::string& variable : run.exported) line += " " + quoted(variable);
    line += fmt::format(" {} run --lifeline --first-rank {} --world-size {} -n {} --job {} --grace-ms {}{} --",
                        quoted(run.program), part.first_rank, last.first_rank + last.rank_count, part.rank_count,
                        quoted(run.job), run.grace_ms, run.prefix_output ? "" : " --no-prefix");
    for (const std::string& word : run.command) line += " " + quoted(word);
    std::vector<std::string> words;
    for (const std::string_view word : split(run.agent, ' '))
        if (!word.empty()) words.emplace_back(word);
    words.push_back(part.host);
    words.push_back(line);
    return words;
}

Result<std::vector<std::string>> exported_variables(const Environment& environment,
                                                    const std::vector<std::string>& asked) {
    std::vector<std::string> variables;
    for (const auto& [name, value] : environment)
        if (name.starts_with("TENON_") && name != "TENON_JOB") variables.push_back(name + "=" + value);
    for (const std::string& text : asked) {
        const std::string name = text.substr(0, text.find('='));
        const auto at = environment.find(name);
        if (name.size() < text.size()) variables.push_back(text);
        else if (at != environment.end()) variables.push_back(name + "=" + at->second);
        else return fail(Status::invalid_argument, fmt::format("--export {}: there is no such variable", name));
    }
    return variables;
}

}  // namespace tenon
