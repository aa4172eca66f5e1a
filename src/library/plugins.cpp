#include "library/plugins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "os/shared_library.hpp"
#include "tenon/plugin/module.hpp"

namespace tenon {
namespace {

// Never closed: plans, manifest rows and their strings lie in it.
void keep(os::SharedLibrary library) {
    static std::mutex mutex;
    static auto* const kept = new std::vector<os::SharedLibrary>;
    const std::scoped_lock lock(mutex);
    kept->push_back(std::move(library));
}

Result<const TenonPluginModule*> open_module(const std::string& path) {
    auto opened = os::SharedLibrary::open(path);
    if (!opened) return fail(Status::invalid_argument, "TENON_PLUGINS: " + opened.error().message);
    auto module = opened->symbol<const TenonPluginModule*>("tenonPlugin");
    if (!module) return fail(Status::invalid_argument, "TENON_PLUGINS: " + module.error().message);
    const TenonPluginModule& m = **module;
    if (m.version != TENON_PLUGIN_VERSION)
        return fail(
            Status::invalid_argument,
            fmt::format("TENON_PLUGINS: {} was built for plugin version {}, this library has {}; build it again", path,
                        m.version, TENON_PLUGIN_VERSION));
    if (std::string_view{m.build_tag} != TENON_BUILD_TAG)
        return fail(Status::invalid_argument,
                    fmt::format("TENON_PLUGINS: {} was built as \"{}\", this library as \"{}\"; build both alike", path,
                                m.build_tag, TENON_BUILD_TAG));
    keep(std::move(*opened));
    return &m;
}

bool contains(std::span<const Algorithm> rows, const Algorithm& one) {
    return std::ranges::any_of(
        rows, [&](const Algorithm& a) { return a.collective == one.collective && a.name == one.name; });
}

}  // namespace

Result<std::vector<Algorithm>> load_plugins(std::span<const std::string> paths, std::span<const Algorithm> known) {
    std::vector<Algorithm> brought;
    for (const std::string& path : paths) {
        auto module = open_module(path);
        if (!module) return std::unexpected(module.error());
        for (const Algorithm& a : std::span((*module)->algorithms, (*module)->algorithm_count)) {
            if (contains(known, a) || contains(brought, a))
                return fail(
                    Status::invalid_argument,
                    fmt::format("TENON_PLUGINS: {} brings {} for {}, which there is already; give it another name",
                                path, a.name, name_of(a.collective)));
            brought.push_back(a);
        }
    }
    return brought;
}

}  // namespace tenon
