// `tenon info`: the version and build, the machine, transports, devices, algorithms with their restrictions, which
// algorithm a call would use and why, and the variables with what they are set to.
//
// Everything comes from the tables that the library itself uses. A wrong TENON_ variable does not stop it, as it may be
// what the user is looking for: it is named, and the exit status is 2.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <memory>

#include "bootstrap/interfaces.hpp"
#include "communicator/decisions.hpp"
#include "communicator/surroundings.hpp"
#include "config/config.hpp"
#include "config/values.hpp"
#include "library/device_providers.hpp"
#include "library/registry.hpp"
#include "os/memory.hpp"
#include "os/peer_memory.hpp"
#include "os/process.hpp"
#include "reduction/kernels.hpp"
#include "selection/selection.hpp"
#include "tenon/tenon.h"
#include "tools/tenon/command.hpp"
#include "tools/tenon/facts.hpp"

namespace tenon {
namespace {

struct InfoOptions {
    bool variables_only = false;
    Rank rank_count = 4;
    std::string format = "text";
};

std::string yes_or_no(bool yes) { return yes ? "yes" : "no"; }
std::string or_dash(std::string text) { return text.empty() ? "-" : std::move(text); }

int usable_cores() {
    const auto cores = os::cores_of_this_thread();
    return cores ? static_cast<int>(cores->count()) : 1;
}

std::string processor_model() {
    std::ifstream facts("/proc/cpuinfo");
    for (std::string line; std::getline(facts, line);)
        if (line.starts_with("model name") && line.find(": ") != std::string::npos)
            return line.substr(line.find(": ") + 2);
    return "unknown";
}

FactsTable build_facts() {
    int version = 0;
    tenonGetVersion(&version);
    return {.title = "tenon",
            .columns = {"fact", "value"},
            .rows = {{"version", fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100)},
#ifdef __clang__
                     {"compiler", fmt::format("Clang {}", __clang_version__)},
#else
                     {"compiler", fmt::format("GCC {}", __VERSION__)},
#endif
#ifdef __OPTIMIZE__
                     {"optimized", "yes"},
#else
                     {"optimized", "no"},
#endif
                     {"reductions use", reduction_target()}},
            .is_record = true};
}

FactsTable host_facts() {
    const os::CacheSizes caches = os::cache_sizes();
    const auto memory = os::available_memory();
    const bool reads_peers = os::peer_memory_is_readable();
    return {.title = "host",
            .columns = {"fact", "value"},
            .rows = {{"name", os::host_name()},
                     {"processor", processor_model()},
                     {"cores that ranks may use", std::to_string(usable_cores())},
                     {"caches", fmt::format("{} {} {}", show_size(caches.level1_data.value),
                                            show_size(caches.level2.value), show_size(caches.level3.value))},
                     {"memory available", memory ? fmt::format("{} MiB", memory->value >> 20) : "unknown"},
                     {"ordinary memory of peers",
                      reads_peers ? "can be read (process_vm_readv): large messages need not be staged"
                                  : "cannot be read (ptrace rules): large messages are staged through slots, "
                                    "unless they lie in memory from tenonMemAlloc"},
                     {"memory that may be pinned", os::pinned_memory_advice()}},
            .is_record = true};
}

FactsTable transport_facts() {
    FactsTable table{.title = "transports", .columns = {"name", "joins", "how"}, .rows = {}};
    for (const TransportRow& row : transports())
        table.rows.push_back({std::string(row.name), std::string(row.joins), std::string(row.summary)});
    return table;
}

FactsTable network_facts() {
    FactsTable table{
        .title = "networks", .columns = {"name", "usable", "what it is, or why it is not usable"}, .rows = {}};
    for (const NetworkState& n : networks())
        table.rows.push_back({n.name, yes_or_no(n.obstacle.empty()), n.obstacle.empty() ? n.summary : n.obstacle});
    return table;
}

FactsTable provider_facts(std::span<const ProviderState> providers) {
    FactsTable table{
        .title = "device providers", .columns = {"name", "usable", "devices, or why it is not usable"}, .rows = {}};
    for (const ProviderState& p : providers)
        table.rows.push_back({p.name, yes_or_no(p.obstacle.empty()),
                              p.obstacle.empty() ? std::to_string(p.devices.size()) : p.obstacle});
    return table;
}

// "1 by package; 2, 3 by server": the devices that one reaches, by what joins them.
std::string links_of(const ProviderState& provider, std::size_t from) {
    std::map<device::LinkClass, std::string> reached;
    for (std::size_t to = 0; to < provider.devices.size(); to++) {
        const device::LinkClass by = provider.links[from * provider.devices.size() + to].link_class;
        if (to == from || by == device::LinkClass::none) continue;
        std::string& all = reached[by];
        all += fmt::format("{}{}", all.empty() ? "" : ", ", to);
    }
    std::string text;
    for (const auto& [by, all] : reached)
        text += fmt::format("{}{} by {}", text.empty() ? "" : "; ", all, device::name_of(by));
    return text;
}

FactsTable device_facts(std::span<const ProviderState> providers) {
    FactsTable table{
        .title = "devices", .columns = {"provider", "device", "name", "memory", "address", "reaches"}, .rows = {}};
    for (const ProviderState& p : providers)
        for (std::size_t d = 0; d < p.devices.size(); d++)
            table.rows.push_back({p.name, std::to_string(d), p.devices[d].name, show_size(p.devices[d].memory.value),
                                  or_dash(p.devices[d].address), or_dash(links_of(p, d))});
    return table;
}

// Which of them a host tells others when nothing says otherwise: hosts that connect to rank 0's take what leads there.
Result<FactsTable> interface_facts(const Config& config) {
    FactsTable table{.title = "interfaces", .columns = {"name", "address", "MTU", "Mbit/s", "use"}, .rows = {}};
    const auto all = os::network_interfaces();
    if (!all) return std::unexpected(all.error());
    const auto chosen = bootstrap::choose_interface(*all, config.socket_interface);
    if (!chosen) return std::unexpected(chosen.error());
    const std::string why = config.socket_interface.empty()
                                ? "where this is rank 0's host; others take the one that leads to it"
                                : "TENON_SOCKET_INTERFACE=" + config.socket_interface;
    for (const os::NetworkInterface& i : *all) {
        const bool is_chosen = *chosen && i.name == (*chosen)->name && i.address == (*chosen)->address;
        table.rows.push_back({i.name, i.address.host_text(), std::to_string(i.mtu),
                              i.speed_mbps == 0 ? "unknown" : std::to_string(i.speed_mbps),
                              is_chosen ? "chosen: " + why : "-"});
    }
    return table;
}

std::string restrictions(const Algorithm& algorithm) {
    std::vector<std::string> all;
    if (algorithm.needs.power_of_two_ranks) all.push_back("power of two of ranks");
    if (algorithm.needs.max_ranks < Needs{}.max_ranks)
        all.push_back(fmt::format("at most {} ranks", algorithm.needs.max_ranks));
    if (algorithm.needs.max_bytes < Needs{}.max_bytes)
        all.push_back(fmt::format("at most {} a block", show_size(algorithm.needs.max_bytes.value)));
    if (!algorithm.in_place) all.push_back("copies its input when in place");
    return all.empty() ? "none" : fmt::format("{}", fmt::join(all, ", "));
}

std::string deterministic(const Algorithm& algorithm) {
    if (algorithm.deterministic_by_powers && !algorithm.deterministic) return "wide types, 2^n ranks";
    return yes_or_no(algorithm.deterministic);
}

FactsTable algorithm_facts(std::span<const Algorithm> known) {
    FactsTable table{.title = "algorithms",
                     .columns = {"collective", "name", "deterministic", "restrictions", "summary", "cost", "source"},
                     .rows = {},
                     .text_columns = 5};
    for (const Algorithm& a : known)
        table.rows.push_back({std::string(name_of(a.collective)), std::string(a.name),
                              reduces(a.collective) ? deterministic(a) : "-", restrictions(a),
                              std::string(a.summary), std::string(a.cost), std::string(a.source)});
    return table;
}

// What a communicator of this many ranks would decide from this machine's facts.
FactsTable decision_facts(const Config& config, Rank rank_count) {
    const std::uint64_t slot = largest_slot_bytes(rank_count, config.slot_memory.value);
    const Topology topology{
        .rank_count = rank_count, .cores = usable_cores(), .one_process = false, .slot_bytes = slot};
    FactsTable table{.title = fmt::format("decisions for {} ranks", rank_count),
                     .columns = {"what", "value", "why"},
                     .rows = {},
                     .text_columns = 3};
    for (const Decision& d : decide(config, topology).explained) table.rows.push_back({d.what, d.value, d.why});
    const NetworkSlots far = network_slots(rank_count, config.slot_memory.value);
    table.rows.push_back({"slots to other hosts",
                          fmt::format("slots of {} bytes; {} bytes a channel, on {} with every rank", far.slot_bytes,
                                      far.channel_bytes, far.channels),
                          fmt::format("and up to {} bytes a rank beside them, within {} bytes in all", far.peer_bytes,
                                      config.slot_memory.value)});
    return table;
}

// What would be chosen from 1 byte a rank to 1 GiB in all, where it changes.
Result<FactsTable> choice_facts(std::span<const Algorithm> known, const Config& config, Rank rank_count) {
    const auto selection = Selection::make(known, config);
    if (!selection) return std::unexpected(selection.error());
    const Topology topology{.rank_count = rank_count, .cores = usable_cores()};
    FactsTable table{.title = fmt::format("choices for {} ranks", rank_count),
                     .columns = {"collective", "from bytes", "algorithm", "why"},
                     .rows = {}};
    for (std::size_t collective = 0; collective < planned_collective_count; collective++) {
        std::string last;
        for (std::uint64_t block = 1; block * static_cast<std::uint64_t>(rank_count) <= std::uint64_t{1} << 30;
             block *= 2) {
            const Request request{.collective = static_cast<Collective>(collective),
                                  .rank_count = rank_count,
                                  .count = {block},
                                  .deterministic = config.deterministic};
            const auto choice = selection->choose(request, topology);
            if (!choice) return std::unexpected(choice.error());
            if (choice->algorithm->name != last)
                table.rows.push_back({std::string(name_of(request.collective)),
                                      last.empty() ? "0" : show_size(large_buffer_bytes(request).value),
                                      std::string(choice->algorithm->name), choice->reason});
            last = choice->algorithm->name;
        }
    }
    return table;
}

// The table of the README holds nothing of the machine it was made on: `set` is left out there.
FactsTable variable_facts(const Config& config, bool with_values) {
    FactsTable table{
        .title = "variables", .columns = {"variable", "default", "meaning", "allowed"}, .rows = {}, .text_columns = 4};
    if (with_values) table.columns.insert(table.columns.begin() + 1, "value");
    for (const VariableRow& row : config_variables()) {
        std::vector<std::string> cells{row.name, or_dash(row.default_text()),
                                       row.help + (row.must_agree ? " (the same on every rank)" : ""), row.allowed};
        if (with_values) cells.insert(cells.begin() + 1, or_dash(row.show(config)));
        table.rows.push_back(std::move(cells));
    }
    return table;
}

int info(const InfoOptions& options) {
    const FactsFormat format = *facts_format_named(options.format);
    std::optional<Error> problem;
    auto config = read_config();
    if (!config) problem = config.error();
    const Config settings = config ? *config : Config{};
    std::vector<FactsTable> tables;
    if (!options.variables_only) {
        auto known = known_algorithms(settings);
        if (!known) problem = known.error();
        const std::span<const Algorithm> rows = known ? *known : algorithms();
        auto choices = choice_facts(rows, settings, options.rank_count);
        if (!choices) problem = choices.error();
        const auto providers = provider_states();
        tables = {build_facts(), host_facts(), transport_facts(), network_facts(), provider_facts(providers)};
        if (auto devices = device_facts(providers); !devices.rows.empty()) tables.push_back(std::move(devices));
        auto interfaces = interface_facts(settings);
        if (!interfaces) problem = interfaces.error();
        else tables.push_back(std::move(*interfaces));
        tables.push_back(algorithm_facts(rows));
        if (choices) tables.push_back(std::move(*choices));
        tables.push_back(decision_facts(settings, options.rank_count));
    }
    tables.push_back(variable_facts(settings, format != FactsFormat::markdown));
    fmt::print("{}", show(tables, format));
    std::fflush(stdout);
    return problem ? bad_input(problem->message) : 0;
}

}  // namespace

void add_info_command(CLI::App& program, Action& action) {
    auto options = std::make_shared<InfoOptions>();
    CLI::App* command =
        program.add_subcommand("info", "Show version, machine, transports, algorithms, choices and variables");
    command->add_flag("--variables", options->variables_only, "Only the variables");
    command->add_option("--ranks", options->rank_count, "Show the choices for so many ranks of this host")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    command->add_option("--format", options->format, "text, json or markdown")
        ->check(CLI::IsMember({"text", "json", "markdown"}))
        ->capture_default_str();
    command->callback([options, &action] { action = [options] { return info(*options); }; });
}

}  // namespace tenon
