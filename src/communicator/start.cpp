#include "communicator/start.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <string>

#include "base/log.hpp"
#include "bootstrap/checks.hpp"

namespace tenon {
namespace {

// Communicators that come of splits have the same to say; a process that makes others for ever says it so often.
bool is_news(const std::string& line) {
    constexpr std::size_t most_remembered = 256;
    static std::mutex mutex;
    static auto* const said = new std::set<std::string>;
    const std::scoped_lock lock(mutex);
    return said->size() < most_remembered && said->insert(line).second;
}

void tell(LogLevel level, const std::string& line) {
    if (is_news(line)) log_line(level, line);
}

bool is_lowest_of_host(const Meeting& meeting, Rank rank) {
    const std::int32_t host = meeting.ranks[static_cast<std::size_t>(rank)].host;
    return std::ranges::find(meeting.ranks, host, &Introduction::host)->rank == rank;
}

}  // namespace

void tell_of_start(const Meeting& meeting, Rank rank, std::string_view network) {
    if (rank == 0) {
        for (const std::string& line : bootstrap::findings(meeting)) tell(LogLevel::warning, line);
        if (!network.empty())
            for (const std::string& line : bootstrap::networks_in_words(meeting)) tell(LogLevel::info, line);
    }
    if (!network.empty() && is_lowest_of_host(meeting, rank)) {
        const auto host = static_cast<std::size_t>(meeting.ranks[static_cast<std::size_t>(rank)].host);
        tell(LogLevel::info, fmt::format("host {} joins others by {}", meeting.hosts[host], network));
    }
}

}  // namespace tenon
