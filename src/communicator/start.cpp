#include "communicator/start.hpp"

#include <algorithm>
#include <mutex>
#include <set>
#include <string>

#include "base/log.hpp"
#include "bootstrap/checks.hpp"

namespace tenon {
namespace {

// What has been said of one level. Communicators that come of splits have the same to say; a process that makes others
// for ever says so much.
class Said {
public:
    bool is_news(const std::string& line) {
        constexpr std::size_t most_remembered = 256;
        const std::scoped_lock lock(mutex_);
        return lines_.size() < most_remembered && lines_.insert(line).second;
    }

private:
    std::mutex mutex_;
    std::set<std::string> lines_;
};

// Each level apart: what is only told at `info` takes no room from a warning.
void tell(LogLevel level, const std::string& line) {
    static auto* const warnings = new Said;
    static auto* const others = new Said;
    if ((level == LogLevel::warning ? warnings : others)->is_news(line)) log_line(level, line);
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
