// All that a user may set: the typed Config, and the one manifest of variables that reads, shows and explains it.
//
// A variable that is present but wrong is an error that names it, its value and what is allowed; so is a TENON_ name
// that nobody knows. The defaults are those of Config{}. Values only: nothing here keeps state; the manifest is made
// once and may be read from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "config/algorithm_choice.hpp"
#include "config/environment.hpp"
#include "tenon/plugin/rdma.hpp"
#include "tenon/plugin/ucx.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

enum class TransportChoice { automatic, shm, inproc, network };
enum class DirectAccess { automatic, off, mapped, all };
enum class StreamingStores { automatic, on, off };

struct Config {
    LogLevel log_level = LogLevel::warning;
    std::uint64_t timeout_ms = 600'000;
    std::uint64_t init_timeout_ms = 120'000;
    std::uint64_t late_warning_ms = 10'000;
    bool deterministic = false;
    std::vector<AlgorithmChoice> algorithms;
    std::string tuning_file;
    TransportChoice transport = TransportChoice::automatic;
    ByteCount slot_memory{64 << 20};
    ByteCount registered_memory{std::uint64_t{16} << 30};
    std::optional<std::uint32_t> spins;  // nothing: Tenon decides from the cores that there are
    DirectAccess direct_access = DirectAccess::automatic;
    StreamingStores streaming_stores = StreamingStores::automatic;
    std::vector<std::string> plugins;
    std::string job;
    std::string network;  // empty: Tenon decides
    RdmaChoices rdma;
    UcxPuts ucx_puts = UcxPuts::automatic;
    std::string rendezvous;
    std::string socket_interface;
    std::string host_id;
    std::uint64_t network_timeout_ms = 3'000;
    std::string groups;  // empty: those of the hosts
    std::string emulated_machine;  // empty: one of this process's own
    std::optional<std::uint32_t> sockets_per_peer;  // nothing: Tenon decides from the link
};

struct VariableRow {
    std::string name;
    std::string type;     // "number", "size", "choice", "list", "text"
    std::string allowed;  // completes "must be ..."
    std::string help;
    bool must_agree = false;  // the same on every rank, checked when they meet
    // Says what is wrong with the text, if anything beyond not being what is allowed (then an empty string).
    std::function<std::optional<std::string>(Config&, std::string_view)> parse;
    std::function<std::string(const Config&)> show;  // as parse would read it; empty when not set
    bool should_agree = false;  // where it differs ranks work together, but that is seldom meant: rank 0 warns

    std::string default_text() const { return show(Config{}); }
};

std::span<const VariableRow> config_variables();

Result<Config> read_config(const Environment& environment = process_environment());
// One variable by name, for those who set through the API.
Result<void> set_variable(Config& config, std::string_view name, std::string_view value);
// "NAME=value" of every variable that must agree, a line each.
std::string agreed_settings(const Config& config);
// The same of those that should agree, where they are not at their defaults.
std::string preferred_settings(const Config& config);

}  // namespace tenon
