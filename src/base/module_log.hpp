// The log within a module: it has a copy of log.cpp in itself, whose lines go through the library's, so that one level
// counts for all (TenonPluginModule::log_through).
#pragma once

#include <cstddef>

namespace tenon {

// From now on this copy's lines are given to `sink`, whatever their level (a LogLevel), to the end of the process.
using LogSink = void (*)(int level, const char* line, std::size_t length);
void log_through(LogSink sink);

}  // namespace tenon
