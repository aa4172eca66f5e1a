// The manifest: to add a variable, add a field to Config and one row here.
#include <fmt/format.h>

#include <bit>
#include <limits>
#include <type_traits>

#include "config/config.hpp"
#include "config/values.hpp"

namespace tenon {
namespace {

using Problem = std::optional<std::string>;
Problem fine() { return std::nullopt; }
Problem not_allowed() { return ""; }

template <class T>
struct Option {
    std::string_view text;
    T value;
};

template <class T>
VariableRow choice(std::string name, T Config::*field, std::vector<Option<T>> options, std::string help) {
    std::string allowed;
    for (std::size_t i = 0; i < options.size(); i++)
        allowed += fmt::format("{}{}", i == 0 ? "" : i + 1 == options.size() ? " or " : ", ", options[i].text);
    const auto parse = [field, options](Config& config, std::string_view text) {
        for (const Option<T>& option : options) {
            if (option.text != text) continue;
            config.*field = option.value;
            return fine();
        }
        return not_allowed();
    };
    const auto show = [field, options](const Config& config) {
        for (const Option<T>& option : options)
            if (option.value == config.*field) return std::string{option.text};
        return std::string{};
    };
    return {std::move(name), "choice", std::move(allowed), std::move(help), false, parse, show};
}

VariableRow milliseconds(std::string name, std::uint64_t Config::*field, std::string help) {
    constexpr std::uint64_t most_ms = 7ULL * 24 * 3600 * 1000;
    const auto parse = [field](Config& config, std::string_view text) {
        const auto number = parse_number(text);
        if (!number || *number < 1 || *number > most_ms) return not_allowed();
        config.*field = *number;
        return fine();
    };
    const auto show = [field](const Config& config) { return std::to_string(config.*field); };
    return {std::move(name),
            "number",
            fmt::format("a whole number of milliseconds from 1 to {} (a week)", most_ms),
            std::move(help),
            false,
            parse,
            show};
}

VariableRow text(std::string name, std::string Config::*field, std::string allowed, std::string help) {
    const auto parse = [field](Config& config, std::string_view value) {
        config.*field = value;
        return fine();
    };
    const auto show = [field](const Config& config) { return config.*field; };
    return {std::move(name), "text", std::move(allowed), std::move(help), false, parse, show};
}

VariableRow size(std::string name, ByteCount Config::*field, std::string least, std::string help) {
    const auto parse = [field, smallest = parse_size(least)](Config& config, std::string_view value) {
        const auto bytes = parse_size(value);
        if (!bytes || *bytes < smallest) return not_allowed();
        config.*field = {*bytes};
        return fine();
    };
    const auto show = [field](const Config& config) { return show_size((config.*field).value); };
    return {std::move(name),
            "size",
            fmt::format("at least {} bytes, with k, m or g for powers of 1024", least),
            std::move(help),
            false,
            parse,
            show};
}

// An optional one is `auto` where it is not set: what the network finds by itself.
template <class Number>
VariableRow rdma_number(std::string name, Number RdmaChoices::*field, std::uint32_t first, std::uint32_t last,
                        std::string help) {
    constexpr bool has_auto = std::is_same_v<Number, std::optional<std::uint32_t>>;
    const auto parse = [field, first, last](Config& config, std::string_view value) {
        const auto number = parse_number(value);
        const bool is_auto = has_auto && value == "auto";
        if (!is_auto && (!number || *number < first || *number > last)) return not_allowed();
        config.rdma.*field = is_auto ? Number{} : Number{static_cast<std::uint32_t>(*number)};
        return fine();
    };
    const auto show = [field](const Config& config) {
        const std::optional<std::uint32_t> number = config.rdma.*field;
        return number ? std::to_string(*number) : "auto";
    };
    return {std::move(name), "number",
            fmt::format("{}a whole number from {} to {}", has_auto ? "auto or " : "", first, last), std::move(help),
            false, parse, show};
}

Problem parse_packet_bytes(Config& config, std::string_view value) {
    const auto number = parse_number(value);
    const bool is_known = number && std::has_single_bit(*number) && *number >= 256 && *number <= 4096;
    if (value != "auto" && !is_known) return not_allowed();
    config.rdma.packet_bytes.reset();
    if (number) config.rdma.packet_bytes = static_cast<std::uint32_t>(*number);
    return fine();
}

Problem parse_algorithms(Config& config, std::string_view value) {
    auto choices = parse_algorithm_choices(value);
    if (!choices) return choices.error().message;
    config.algorithms = std::move(*choices);
    return fine();
}

Problem parse_spins(Config& config, std::string_view value) {
    const auto number = parse_number(value);
    if (value != "auto" && (!number || *number > std::numeric_limits<std::uint32_t>::max())) return not_allowed();
    config.spins.reset();
    if (number) config.spins = static_cast<std::uint32_t>(*number);
    return fine();
}

Problem parse_sockets(Config& config, std::string_view value) {
    constexpr std::uint64_t most = 16;
    const auto number = parse_number(value);
    if (value != "auto" && (!number || *number < 1 || *number > most)) return not_allowed();
    config.sockets_per_peer.reset();
    if (number) config.sockets_per_peer = static_cast<std::uint32_t>(*number);
    return fine();
}

Problem parse_plugins(Config& config, std::string_view value) {
    std::vector<std::string> paths;
    for (const std::string_view path : split(value, ':')) {
        if (path.empty()) return "one of its paths is empty";
        paths.emplace_back(path);
    }
    config.plugins = std::move(paths);
    return fine();
}

Problem parse_network(Config& config, std::string_view value) {
    config.network = value == "auto" ? "" : value;
    return fine();
}

std::string show_plugins(const Config& config) { return fmt::format("{}", fmt::join(config.plugins, ":")); }

VariableRow must_agree(VariableRow row) {
    row.must_agree = true;
    return row;
}

VariableRow should_agree(VariableRow row) {
    row.should_agree = true;
    return row;
}

std::vector<VariableRow> make_rows() {
    return {
        choice<LogLevel>("TENON_LOG", &Config::log_level,
                         {{"error", LogLevel::error},
                          {"warning", LogLevel::warning},
                          {"info", LogLevel::info},
                          {"debug", LogLevel::debug}},
                         "how much is logged to standard error"),
        should_agree(milliseconds("TENON_TIMEOUT_MS", &Config::timeout_ms,
                                  "how long a call waits for a living rank that does not come before it fails")),
        should_agree(milliseconds("TENON_INIT_TIMEOUT_MS", &Config::init_timeout_ms,
                                  "how long the ranks of a job wait for each other when they meet")),
        must_agree(milliseconds("TENON_NETWORK_TIMEOUT_MS", &Config::network_timeout_ms,
                                "within how long a host that is out of reach is an error on every rank")),
        milliseconds("TENON_LATE_WARNING_MS", &Config::late_warning_ms,
                     "after how long a wait is explained in the log"),
        must_agree(choice<bool>("TENON_DETERMINISTIC", &Config::deterministic, {{"0", false}, {"1", true}},
                                "1: the bits of a reduction depend only on inputs, rank count and operation")),
        must_agree({"TENON_ALGORITHM", "list",
                    "a list such as all_reduce=ring,all_to_all:64k-=pairwise (collective[:first-last]=algorithm)",
                    "the algorithm to use for a collective, perhaps only for some sizes; the first that fits decides",
                    false, parse_algorithms, [](const Config& config) { return show(config.algorithms); }}),
        text("TENON_TUNING_FILE", &Config::tuning_file,
             "a file that tenon tune or tenon topo probe has written, of the same contents on every rank",
             "what was measured on these machines, for the choice of algorithms; TENON_ALGORITHM goes before it"),
        must_agree(choice<TransportChoice>(
            "TENON_TRANSPORT", &Config::transport,
            {{"auto", TransportChoice::automatic},
             {"shm", TransportChoice::shm},
             {"inproc", TransportChoice::inproc},
             {"network", TransportChoice::network}},
            "how bytes travel between ranks: auto takes shared memory where there is some, and else the network; "
            "inproc only joins threads of one process, shm only ranks of one host; network joins all ranks")),
        must_agree({"TENON_NETWORK", "text",
                    "auto, tcp, ucx or rdma (modules beside the library), or what a plugin brings",
                    "what joins the ranks of different hosts; auto: rdma between two that both have it, otherwise tcp",
                    false, parse_network,
                    [](const Config& config) { return config.network.empty() ? "auto" : config.network; }}),
        {"TENON_SOCKETS_PER_PEER", "number", "auto or a whole number from 1 to 16",
         "how many sockets (tcp) large messages between two ranks of different hosts go by, where both would have so "
         "many: as where the network limits each flow; auto is 1, more from 25 Gbit/s on and in some clouds",
         false, parse_sockets,
         [](const Config& config) {
             return config.sockets_per_peer ? std::to_string(*config.sockets_per_peer) : "auto";
         }},
        must_agree(size("TENON_SLOT_MEMORY_BYTES", &Config::slot_memory, "64k",
                        "the most memory for slots, per rank and communicator")),
        size("TENON_REGISTERED_MEMORY_BYTES", &Config::registered_memory, "0",
             "the most memory of the program (from tenonMemAlloc, or given to tenonCommRegister) that a network keeps "
             "registered with its devices, per rank and communicator"),
        {"TENON_RDMA_DEVICES", "text", "names of devices, such as mlx5_0:1,mlx5_1 (with or without a port)",
         "which RDMA devices are used, rather than all with an active port; up to 4, in order", false,
         [](Config& config, std::string_view value) {
             config.rdma.devices = value;
             return fine();
         },
         [](const Config& config) { return config.rdma.devices; }},
        must_agree(rdma_number("TENON_RDMA_QUEUE_PAIRS", &RdmaChoices::queue_pairs, 1, 4,
                               "how many queue pairs join two ports, for large messages: more help where switches "
                               "choose links by flow (ECMP, LAG); ports and queue pairs make up to 4 paths in all")),
        rdma_number("TENON_RDMA_GID_INDEX", &RdmaChoices::gid_index, 0, 255,
                    "which of a port's addresses (show_gids) RDMA uses; auto prefers RoCE version 2 over IPv4"),
        rdma_number("TENON_RDMA_PKEY_INDEX", &RdmaChoices::pkey_index, 0, 65535,
                    "which entry of a port's table of partition keys RDMA uses"),
        should_agree(rdma_number("TENON_RDMA_TRAFFIC_CLASS", &RdmaChoices::traffic_class, 0, 255,
                                 "the traffic class of RDMA packets; on RoCE four times the DSCP, by which switches "
                                 "choose the priority that loses none")),
        should_agree(rdma_number("TENON_RDMA_SERVICE_LEVEL", &RdmaChoices::service_level, 0, 15,
                                 "the service level of RDMA packets; on RoCE the priority of VLANs from 0 to 7")),
        should_agree({"TENON_RDMA_PACKET_BYTES", "number", "auto, 256, 512, 1024, 2048 or 4096",
                      "the most bytes of an RDMA packet, where both ports carry so many; auto is what they carry",
                      false, parse_packet_bytes,
                      [](const Config& config) {
                          return config.rdma.packet_bytes ? std::to_string(*config.rdma.packet_bytes) : "auto";
                      }}),
        should_agree(rdma_number("TENON_RDMA_TIMEOUT", &RdmaChoices::timeout, 1, 31,
                                 "how long an RDMA device waits for an acknowledgement before it sends again: 4.096 us "
                                 "times 2 to the power of this; auto follows from TENON_NETWORK_TIMEOUT_MS")),
        should_agree(rdma_number("TENON_RDMA_RETRY_COUNT", &RdmaChoices::retry_count, 0, 7,
                                 "how often an RDMA device sends again before a path to a peer counts as lost")),
        should_agree(choice<UcxPuts>(
            "TENON_UCX_PUTS", &Config::ucx_puts,
            {{"auto", UcxPuts::automatic}, {"always", UcxPuts::always}, {"never", UcxPuts::never}},
            "whether large messages over UCX are written into memory that their receiver has registered "
            "(tenonMemAlloc, tenonCommRegister); auto: where UCX reaches the peer by a device that does that")),
        should_agree({"TENON_SPIN", "number", "auto or a whole number below 4294967296",
                      "how many times a waiting rank looks again before it yields its core", false, parse_spins,
                      [](const Config& config) { return config.spins ? std::to_string(*config.spins) : "auto"; }}),
        should_agree(choice<DirectAccess>(
            "TENON_DIRECT_ACCESS", &Config::direct_access,
            {{"auto", DirectAccess::automatic},
             {"off", DirectAccess::off},
             {"mapped", DirectAccess::mapped},
             {"all", DirectAccess::all}},
            "which memory of peers is reached without staging: mapped is memory from tenonMemAlloc, "
            "all also ordinary memory where the system allows it")),
        should_agree(choice<StreamingStores>(
            "TENON_STREAMING_STORES", &Config::streaming_stores,
            {{"auto", StreamingStores::automatic}, {"on", StreamingStores::on}, {"off", StreamingStores::off}},
            "whether large results, and what peers take from slots, are written past the caches")),
        should_agree({"TENON_PLUGINS", "list", "paths separated by colons", "plugins to load", false, parse_plugins,
                      show_plugins}),
        text("TENON_RENDEZVOUS", &Config::rendezvous, "a host and port such as node0:29400, or file: and a path",
             "where rank 0 takes the ranks of other hosts in, rather than what the launcher says; or a shared file "
             "through which it tells them"),
        text("TENON_SOCKET_INTERFACE", &Config::socket_interface,
             "names of network interfaces, such as eth,ib (prefixes), =eth0 (exact) or ^docker,virbr (all but)",
             "over which interface hosts talk, rather than the one that leads to rank 0"),
        text("TENON_HOST_ID", &Config::host_id, "a name",
             "ranks with different names share no memory, as if on different hosts"),
        must_agree(text("TENON_GROUPS", &Config::groups,
                        "a shape such as 4x2 (4 servers of 2 ranks), 2x3x4 (2 supernodes of 3 servers of 4) or 3,1,4",
                        "the groups that hierarchical algorithms take the ranks to be in, rather than by host, where a "
                        "communicator has as many ranks")),
        text("TENON_JOB", &Config::job, "a name that the ranks of one job share and no other job on the host has",
             "names the job, rather than what the launcher set"),
        text("TENON_EMULATED_MACHINE", &Config::emulated_machine,
             "a path such as /proc/1234/fd/5, of a file that holds emulated devices",
             "emulated devices that processes share, as tenon run --emulated-devices sets it; rather than some of the "
             "process's own"),
    };
}

}  // namespace

std::span<const VariableRow> config_variables() {
    static const std::vector<VariableRow> rows = make_rows();
    return rows;
}

}  // namespace tenon
