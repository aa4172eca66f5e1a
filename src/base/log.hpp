// The library's log: one line per event to standard error, from the level in TENON_LOG (error, warning, info, debug).
// Thread-safe. Never used on the fast path.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace tenon {

enum class LogLevel { off, error, warning, info, debug };

void set_log_level(LogLevel level);
void log_line(LogLevel level, std::string_view line);

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
    log_line(level, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace tenon
