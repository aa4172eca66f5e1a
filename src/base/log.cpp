#include "base/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

#include "base/module_log.hpp"

namespace tenon {
namespace {

spdlog::level::level_enum level_of(LogLevel level) {
    switch (level) {
        case LogLevel::off: return spdlog::level::off;
        case LogLevel::error: return spdlog::level::err;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::debug: return spdlog::level::debug;
    }
    return spdlog::level::off;
}

spdlog::logger& logger() {
    static spdlog::logger* const made = [] {  // never destroyed: threads may log while the process ends
        auto* l = new spdlog::logger("tenon", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        l->set_pattern("%Y-%m-%d %H:%M:%S.%e tenon[%P] %l: %v");
        l->set_level(spdlog::level::warn);
        return l;
    }();
    return *made;
}

std::atomic<LogSink> other_sink{nullptr};

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(level_of(level)); }

void log_line(LogLevel level, std::string_view line) {
    if (const LogSink sink = other_sink.load(std::memory_order_acquire); sink != nullptr)
        return sink(static_cast<int>(level), line.data(), line.size());
    logger().log(level_of(level), line);
}

void log_through(LogSink sink) { other_sink.store(sink, std::memory_order_release); }

}  // namespace tenon
