#include "library/plugins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "os/shared_library.hpp"
#include "os/signals.hpp"
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

void log_for_module(int level, const char* line, std::size_t length) {
    const int known = std::clamp(level, static_cast<int>(LogLevel::error), static_cast<int>(LogLevel::debug));
    log_line(static_cast<LogLevel>(known), {line, length});
}

Result<const TenonPluginModule*> open_module(const std::string& path) {
    auto opened = [&] {
        const os::SignalsKept kept;  // libraries that a module links may take them over (UCX does)
        return os::SharedLibrary::open(path);
    }();
    if (!opened) return std::unexpected(opened.error());
    auto module = opened->symbol<const TenonPluginModule*>("tenonPlugin");
    if (!module) return fail(Status::invalid_argument, module.error().message);
    const TenonPluginModule& m = **module;
    if (m.version != TENON_PLUGIN_VERSION)
        return fail(
            Status::invalid_argument,
            fmt::format("{} was built for plugin version {}, this library has {}; build it again", path,
                        m.version, TENON_PLUGIN_VERSION));
    if (std::string_view{m.build_tag} != TENON_BUILD_TAG)
        return fail(Status::invalid_argument,
                    fmt::format("{} was built as \"{}\", this library as \"{}\"; build both alike", path,
                                m.build_tag, TENON_BUILD_TAG));
    if (m.log_through != nullptr) m.log_through(log_for_module);
    keep(std::move(*opened));
    return &m;
}

bool is_same(const Algorithm& a, const Algorithm& b) { return a.collective == b.collective && a.name == b.name; }
bool is_same(const NetworkRow& a, const NetworkRow& b) { return a.name == b.name; }
std::string in_words(const Algorithm& a) { return fmt::format("{} for {}", a.name, name_of(a.collective)); }
std::string in_words(const NetworkRow& n) { return fmt::format("the network {}", n.name); }

// Appends a module's rows.
template <class Row>
Result<void> add(std::vector<Row>& rows, const std::vector<Row>& known, std::span<const Row> more,
                 const std::string& path) {
    for (const Row& row : more) {
        const auto same = [&](const Row& other) { return is_same(row, other); };
        if (std::ranges::any_of(known, same) || std::ranges::any_of(rows, same))
            return fail(Status::invalid_argument,
                        fmt::format("{} brings {}, which there is already; give it another name", path,
                                    in_words(row)));
        rows.push_back(row);
    }
    return {};
}

}  // namespace

Result<Brought> load_plugins(std::span<const std::string> paths, const Brought& known) {
    Brought brought;
    for (const std::string& path : paths) {
        auto module = open_module(path);
        if (!module) return std::unexpected(module.error());
        const TenonPluginModule& m = **module;
        if (auto ok = add(brought.algorithms, known.algorithms, std::span(m.algorithms, m.algorithm_count), path); !ok)
            return std::unexpected(ok.error());
        if (auto ok = add(brought.networks, known.networks, std::span(m.networks, m.network_count), path); !ok)
            return std::unexpected(ok.error());
    }
    return brought;
}

}  // namespace tenon
