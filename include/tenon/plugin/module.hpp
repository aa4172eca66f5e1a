// What a module outside the library exports, so that its algorithms and networks stand beside the built-in ones.
//
//   extern "C" TENON_PLUGIN_EXPORT const TenonPluginModule tenonPlugin = {
//       TENON_PLUGIN_VERSION, "my_module", TENON_BUILD_TAG, my_algorithms, std::size(my_algorithms),
//       my_networks, std::size(my_networks)};
//
// A module is a shared library that includes only tenon/plugin and links to Tenon::tenon. Users name its path in
// TENON_PLUGINS; it is loaded once, when the process makes its first communicator, and stays to the end of the process,
// so the rows and all that they point to are constants; an algorithm's name is a string literal. Algorithms are called
// by any thread, also by several at a time.
//
// The first three members keep their place and meaning in every version: they are what is read before the C++ types
// behind them are trusted. A module of another version or build tag is refused, with both named.
#pragma once

#include <cstddef>
#include <cstdint>
#include <version>

#include "tenon/plugin/algorithm.hpp"
#include "tenon/plugin/network.hpp"

// Raised by every change to the types in tenon/plugin.
#define TENON_PLUGIN_VERSION 12

// Names all that decides how the C++ types between module and library are laid out.
#define TENON_TEXT_OF(value) #value
#define TENON_TEXT(value) TENON_TEXT_OF(value)
#if defined(_LIBCPP_VERSION)
#define TENON_STANDARD_LIBRARY "libc++ " TENON_TEXT(_LIBCPP_ABI_VERSION)
#elif defined(_GLIBCXX_DEBUG)
#define TENON_STANDARD_LIBRARY "libstdc++ debug " TENON_TEXT(_GLIBCXX_USE_CXX11_ABI)
#else
#define TENON_STANDARD_LIBRARY "libstdc++ " TENON_TEXT(_GLIBCXX_USE_CXX11_ABI)
#endif
#define TENON_BUILD_TAG "plugin " TENON_TEXT(TENON_PLUGIN_VERSION) ", " TENON_STANDARD_LIBRARY

#define TENON_PLUGIN_EXPORT __attribute__((visibility("default")))

extern "C" {

struct TenonPluginModule {
    std::uint32_t version;  // TENON_PLUGIN_VERSION
    const char* name;
    const char* build_tag;  // TENON_BUILD_TAG
    const tenon::Algorithm* algorithms;
    std::size_t algorithm_count;
    const tenon::NetworkRow* networks;
    std::size_t network_count;
    // Called once, when the module is loaded: where it gives the lines that it has for the library's log, each with its
    // level: 1 error, 2 warning, 3 info, 4 debug. The library drops those that the user does not want (TENON_LOG). By
    // any thread, until the end of the process. Null where the module has nothing to say.
    void (*log_through)(void (*sink)(int level, const char* line, std::size_t length)) = nullptr;
};

// The symbol that the library looks for.
extern TENON_PLUGIN_EXPORT const TenonPluginModule tenonPlugin;
}
