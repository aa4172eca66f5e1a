// The registry of the process: every algorithm and every network that there is, built in or brought by a module.
#include "library/registry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <mutex>
#include <set>
#include <utility>

#include "algorithms/patterns/manifest.hpp"
#include "base/log.hpp"
#include "communicator/surroundings.hpp"
#include "library/plugins.hpp"
#include "os/shared_library.hpp"

namespace tenon {
namespace {

std::vector<Algorithm> built_in() {
    std::vector<Algorithm> rows;
    for (const auto manifest :
         {all_reduce_algorithms(), all_gather_algorithms(), reduce_scatter_algorithms(), all_to_all_algorithms(),
          broadcast_algorithms(), reduce_algorithms(), gather_algorithms(), scatter_algorithms(), barrier_algorithms()})
        rows.insert(rows.end(), manifest.begin(), manifest.end());
    return rows;
}

// Made here and not by its row: it needs no introductions, but the sockets themselves.
NetworkRow built_in_network() {
    return {.name = "tcp", .summary = "sockets; large messages go from buffer to buffer without a copy here"};
}

// Never freed: communicators may outlive static objects. The plugins of the first communicator are the process's.
struct Registry {
    std::mutex mutex;
    std::vector<Algorithm> rows = built_in();
    std::vector<NetworkRow> networks = {built_in_network()};
    std::vector<std::string> plugins;
    std::vector<Algorithm> rows_before_plugins;  // others may hold them: they stay where they are
    std::set<std::string> usable;                // networks that have been asked, which is slow with some
};
Registry& registry() {
    static auto* const made = new Registry;
    return *made;
}

}  // namespace

std::span<const Algorithm> algorithms() { return registry().rows; }

std::vector<const Algorithm*> algorithms_of(Collective collective) {
    std::vector<const Algorithm*> found;
    for (const Algorithm& a : algorithms())
        if (a.collective == collective) found.push_back(&a);
    return found;
}

const Algorithm* find_algorithm(Collective collective, std::string_view name) {
    for (const Algorithm& a : algorithms())
        if (a.collective == collective && a.name == name) return &a;
    return nullptr;
}

Result<const Algorithm*> algorithm_named(Collective collective, std::string_view name) {
    if (const Algorithm* found = find_algorithm(collective, name)) return found;
    std::vector<std::string_view> names;
    for (const Algorithm* known : algorithms_of(collective)) names.push_back(known->name);
    return fail(Status::invalid_argument, fmt::format("{} has no algorithm '{}'; there are: {}", name_of(collective),
                                                      name, fmt::join(names, ", ")));
}

Result<std::span<const Algorithm>> known_algorithms(const Config& config) {
    Registry& r = registry();
    const std::scoped_lock lock(r.mutex);
    if (config.plugins == r.plugins) return r.rows;
    if (!r.plugins.empty())
        return fail(Status::invalid_usage,
                    "TENON_PLUGINS has changed since this process made its first communicator; set it before");
    auto brought = load_plugins(config.plugins, {.algorithms = r.rows, .networks = r.networks});
    if (!brought) return fail(Status::invalid_argument, "TENON_PLUGINS: " + brought.error().message);
    r.networks.insert(r.networks.end(), brought->networks.begin(), brought->networks.end());
    std::vector<Algorithm> grown = r.rows;
    grown.insert(grown.end(), brought->algorithms.begin(), brought->algorithms.end());
    r.rows_before_plugins = std::exchange(r.rows, std::move(grown));
    r.plugins = config.plugins;
    return r.rows;
}

namespace {

// Of networks; the module for PMIx is named otherwise.
constexpr std::string_view module_prefix = "libtenon_", module_suffix = ".so";

// What Debian calls the packages that a module needs, to run and to be built.
struct Needs {
    std::string_view network, to_run, to_build;
};
constexpr std::array needs{Needs{"ucx", "libucx0", "libucx-dev"},
                           Needs{"rdma", "libibverbs1 and ibverbs-providers", "libibverbs-dev"}};

const Needs* needs_of(std::string_view network) {
    const auto* const at = std::ranges::find(needs, network, &Needs::network);
    return at != needs.end() ? at : nullptr;
}

Error cannot_be_loaded(std::string_view network, const Error& why) {
    const Needs* const its = needs_of(network);
    if (why.status != Status::system_error || its == nullptr) return {Status::system_error, why.message};
    return {Status::system_error, fmt::format("its module does not load: {}; install {} (Debian's name), or use "
                                              "TENON_NETWORK=tcp", why.message, its->to_run)};
}

Error no_such_network(std::string_view name, const std::vector<NetworkRow>& known) {
    if (const Needs* const its = needs_of(name); its != nullptr)
        return {Status::invalid_argument,
                fmt::format("this Tenon was built without its module: install {} (Debian's name) and build it again, "
                            "or use TENON_NETWORK=tcp", its->to_build)};
    std::vector<std::string_view> names;
    for (const NetworkRow& row : known) names.push_back(row.name);
    return {Status::invalid_argument, fmt::format("there is no such network here; there are: {}, and the modules in "
                                                  "the folder tenon beside libtenon", fmt::join(names, ", "))};
}

// Where the module of a network lies, if there is such a one.
std::optional<std::string> own_module(std::string_view name) {
    const bool is_word = std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
    if (!is_word) return std::nullopt;
    return os::find_module(fmt::format("{}{}{}", module_prefix, name, module_suffix));
}

std::set<std::string> names_of_own_modules() {
    std::set<std::string> names;
    std::error_code ignored;
    for (const std::filesystem::path& folder : os::module_folders())
        for (const auto& file : std::filesystem::directory_iterator(folder, ignored)) {
            const std::string name = file.path().filename();
            if (name.starts_with(module_prefix) && name.ends_with(module_suffix))
                names.insert(
                    name.substr(module_prefix.size(), name.size() - module_prefix.size() - module_suffix.size()));
        }
    return names;
}

}  // namespace

Result<NetworkRow> network_named(std::string_view name) {
    Registry& r = registry();
    const std::scoped_lock lock(r.mutex);
    const auto find = [&] { return std::ranges::find(r.networks, name, &NetworkRow::name); };
    if (find() == r.networks.end())
        if (const auto path = own_module(name)) {
            auto brought = load_plugins({&*path, 1}, {.algorithms = r.rows, .networks = r.networks});
            if (!brought) return std::unexpected(cannot_be_loaded(name, brought.error()));
            r.networks.insert(r.networks.end(), brought->networks.begin(), brought->networks.end());
        }
    if (const auto at = find(); at != r.networks.end()) return *at;
    return std::unexpected(no_such_network(name, r.networks));
}

Result<NetworkRow> usable_network(std::string_view name) {
    auto row = network_named(name);
    if (!row) return fail(row.error().status, fmt::format("TENON_NETWORK={}: {}", name, row.error().message));
    if (row->obstacle == nullptr) return row;
    if (const std::string why = row->obstacle(); !why.empty())
        return fail(Status::system_error, fmt::format("TENON_NETWORK={}: {}", row->name, why));
    return row;
}

// What Tenon chooses by itself it has asked already. Every communicator of a process comes by, and to hear once that a
// network is usable is enough; what was in the way may be mended, so that is asked about again.
std::string network_obstacle(const Config& config) {
    if (config.network.empty()) return {};
    Registry& r = registry();
    {
        const std::scoped_lock lock(r.mutex);
        if (r.usable.contains(config.network)) return {};
    }
    const auto row = usable_network(config.network);
    if (!row) return row.error().message;
    const std::scoped_lock lock(r.mutex);
    r.usable.insert(config.network);
    return {};
}

std::vector<NetworkState> networks() {
    std::set<std::string> names = names_of_own_modules();
    {
        const std::scoped_lock lock(registry().mutex);
        for (const NetworkRow& row : registry().networks) names.emplace(row.name);
    }
    std::vector<NetworkState> states;
    for (const std::string& name : names) {
        const auto row = network_named(name);
        if (!row) states.push_back({name, "", row.error().message});
        else states.push_back({name, std::string{row->summary}, row->obstacle == nullptr ? "" : row->obstacle()});
    }
    return states;
}

namespace {

// What Tenon takes by itself between two ranks that both have it, best first. Their modules are only loaded where the
// system shows hardware for them. UCX is not among them: over sockets tcp is quicker and trusts nobody
// (transports/ucx/README.md).
struct Candidate {
    std::string_view network;
    const char* hardware;  // a folder that has something in it
};
constexpr std::array candidates{Candidate{"rdma", "/sys/class/infiniband"}};
constexpr std::size_t bits_of_kinds = 8;
static_assert(candidates.size() * bits_of_kinds <= 8 * sizeof(NetworkSet));

struct Found {
    NetworkSet usable = 0;
    std::string refused{};  // the first that the hardware is there for, and what is in the way
};

std::uint8_t usable_kinds(const Candidate& candidate, std::string& refused) {
    std::error_code none;
    if (std::filesystem::directory_iterator{candidate.hardware, none} == std::filesystem::directory_iterator{})
        return 0;
    const auto row = network_named(candidate.network);
    const std::uint8_t kinds = row && row->beats_sockets != nullptr ? row->beats_sockets() : 0;
    const std::string obstacle = !row ? row.error().message : row->obstacle != nullptr ? row->obstacle() : "";
    if (kinds == 0)
        log(LogLevel::info, "{} shows hardware for the network {}, which is not taken unasked: {}", candidate.hardware,
            candidate.network, obstacle.empty() ? "it cannot all that is needed" : obstacle);
    // What cannot do all that is needed is nothing to mend.
    if (kinds == 0 && !obstacle.empty() && refused.empty())
        refused = fmt::format("{}: {}", candidate.network, obstacle);
    return kinds;
}

Found look_for_networks() {
    Found found;
    for (std::size_t i = 0; i < candidates.size(); i++)
        found.usable |= NetworkSet{usable_kinds(candidates[i], found.refused)} << bits_of_kinds * i;
    return found;
}

const Found& networks_found() {
    static const auto* const found = new Found{look_for_networks()};
    return *found;
}

}  // namespace

NetworkSet networks_here(const Config& config) {
    return config.network.empty() ? networks_found().usable : NetworkSet{0};
}

std::string refused_networks(const Config& config) {
    return config.network.empty() ? networks_found().refused : std::string{};
}

std::string_view best_network(NetworkSet own, NetworkSet peer) {
    const NetworkSet both = own & peer;
    for (std::size_t i = 0; i < candidates.size(); i++)
        if ((both >> bits_of_kinds * i & 0xff) != 0) return candidates[i].network;
    return built_in_network().name;
}

}  // namespace tenon
