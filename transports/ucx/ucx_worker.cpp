#include "transports/ucx/ucx_worker.hpp"

#include <ucs/config/global_opts.h>
#include <ucs/debug/log_def.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <vector>

#include "base/log.hpp"
#include "os/memory.hpp"
#include "transports/ucx/wire.hpp"

namespace tenon::ucx {
namespace {

constexpr unsigned least_major = 1, least_minor = 13;
constexpr std::string_view sockets_prefix = "TCP_", nonblocking_connect = "CONN_NB";
constexpr std::string_view verbs_prefix = "IB_", ways_to_register = "REG_METHODS";

// Where UCX uses no sockets, as with UCX_TLS=rc, or no devices, nothing wants what it was told of them, and it says so.
bool is_of_unwanted_setting(std::string_view line) {
    if (!line.starts_with("invalid configuration")) return false;
    const auto own = std::ranges::count_if(std::array{nonblocking_connect, ways_to_register},
                                           [&](std::string_view name) { return line.contains(name); });
    return own == std::ranges::count(line, '=');
}

// UCX writes its log to standard output, which is the program's.
ucs_log_func_rc_t log_warning(const char*, unsigned, const char*, ucs_log_level_t level,
                              const ucs_log_component_config_t*, const char* format, va_list arguments) {
    if (level > UCS_LOG_LEVEL_WARN) return UCS_LOG_FUNC_RC_CONTINUE;
    std::array<char, 512> line{};
    va_list copy;
    va_copy(copy, arguments);
    std::vsnprintf(line.data(), line.size(), format, copy);
    va_end(copy);
    if (is_of_unwanted_setting(line.data())) return UCS_LOG_FUNC_RC_STOP;
    try {
        log(level == UCS_LOG_LEVEL_WARN ? LogLevel::warning : LogLevel::error, "UCX: {}", line.data());
    } catch (...) {  // no memory: UCX's own way needs none
        return UCS_LOG_FUNC_RC_CONTINUE;
    }
    return UCS_LOG_FUNC_RC_STOP;
}

void take_over_log() {
    static std::once_flag once;
    std::call_once(once, [] {
        std::array<char, 256> file{};
        if (ucs_global_opts_get_value("LOG_FILE", file.data(), file.size()) != UCS_OK || file[0] == '\0' ||
            std::string_view{file.data()} == "*")
            ucs_log_push_handler(log_warning);
    });
}

// Sorted; none where there is no such folder.
std::vector<std::string> names_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    std::error_code failed;
    for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed))
        names.push_back(at->path().filename().string());
    std::ranges::sort(names);
    return names;
}

// The interface, and the active ports of RDMA devices, which it says nothing of.
std::string net_devices(const std::string& interface, const std::filesystem::path& rdma_folder) {
    std::string all = interface;
    for (const std::string& device : names_in(rdma_folder))
        for (const std::string& port : names_in(rdma_folder / device / "ports")) {
            std::string state;
            std::ifstream file(rdma_folder / device / "ports" / port / "state");
            std::getline(file, state);
            if (state.contains("ACTIVE")) all += fmt::format(",{}:{}", device, port);
        }
    return all;
}

}  // namespace

std::string obstacle_of(unsigned major, unsigned minor) {
    if (major > least_major || (major == least_major && minor >= least_minor)) return {};
    return fmt::format("UCX {}.{} is installed here, but {}.{} or newer is needed; install a newer libucx, or choose "
                       "TENON_NETWORK=tcp",
                       major, minor, least_major, least_minor);
}

namespace {

template <class Print>
std::string what_is_printed(const Print& print) {
    char* text = nullptr;
    std::size_t length = 0;
    std::FILE* const file = open_memstream(&text, &length);
    if (file == nullptr) return {};
    print(file);
    std::fclose(file);
    std::string words(text, length);
    std::free(text);
    return words;
}

// "resource 5  :  md 4  dev 3  flags -- rc_verbs/mlx5_0:1": a way to send, and the device.
std::string context_in_words(ucp_context_h context) {
    return what_is_printed([&](std::FILE* file) { ucp_context_print_info(context, file); });
}

std::string rdma_device_of_ucx() {
    ucp_params_t wanted{};
    wanted.field_mask = UCP_PARAM_FIELD_FEATURES;
    wanted.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
    ucp_context_h context = nullptr;
    if (ucp_init(&wanted, nullptr, &context) != UCS_OK) return {};
    std::string device = rdma_device_in(context_in_words(context));
    ucp_cleanup(context);
    return device;
}

}  // namespace

std::string rdma_device_in(std::string_view context_in_words) {
    for (const std::string_view way : {"-- rc_", "-- ud_", "-- dc_"}) {
        const auto at = context_in_words.find(way);
        if (at == std::string_view::npos) continue;
        std::string_view rest = context_in_words.substr(at + way.size());
        rest = rest.substr(0, rest.find_first_of(" \n"));
        return std::string{rest.substr(rest.find('/') + 1)};
    }
    return {};
}

std::string endpoint_in_words(ucp_ep_h endpoint) {
    return what_is_printed([&](std::FILE* file) { ucp_ep_print_info(endpoint, file); });
}

// "put[1]: 0..<short>.." names a lane; "lane[1]:  5:rc_verbs/mlx5_0:1.0 md[4]  -> md[4]/ib/sysdev[255] rma_bw#0" says
// by what it goes, and of which component the peer's memory domain is.
std::string put_lane_in(std::string_view endpoint_in_words) {
    const auto between = [](std::string_view text, std::string_view before, std::string_view after) {
        const auto at = text.find(before);
        if (at == std::string_view::npos) return std::string_view{};
        text.remove_prefix(at + before.size());
        return text.substr(0, text.find_first_of(after));
    };
    const std::string_view number = between(endpoint_in_words, " put[", "]");
    if (number.empty()) return {};
    const std::string_view lane = between(endpoint_in_words, fmt::format("lane[{}]: ", number), "\n");
    const std::string_view component = between(between(lane, "-> ", "\n"), "/", "/");
    const std::string_view way = between(lane, ":", " ");
    if (way.empty() || component.empty() || component == "tcp") return {};
    return std::string{way.substr(0, way.rfind('.'))};
}

std::string pinning_obstacle() {
    constexpr std::uint64_t wanted = 16 << 20;
    if (os::pinned_memory_limit().value >= 4 * wanted || os::can_pin({wanted})) return {};
    const std::string device = rdma_device_of_ucx();
    if (device.empty()) return {};
    return fmt::format("UCX would use the RDMA device {}, and cannot pin {} bytes of memory for it: {}; or keep UCX "
                       "from it (UCX_TLS=tcp,self), or use TENON_NETWORK=tcp",
                       device, wanted, os::pinned_memory_advice());
}

UcxSettings settings_of(const NetworkFacts& facts, const std::string& rdma_folder) {
    // A connect() that waits would silence the rank while a host is out of reach.
    UcxSettings settings{{fmt::format("{}{}", sockets_prefix, nonblocking_connect), "y"}};
    if (!facts.interface.empty()) settings.emplace("NET_DEVICES", net_devices(facts.interface, rdma_folder));
    std::erase_if(settings, [&](const auto& one) {
        return facts.environment.contains(fmt::format("UCX_{}", one.first));
    });
    // Of memory that is given back and mapped anew at the same place, its cache may have the old pages: what is put
    // there then is lost. So of what the user wants, all but that cache holds.
    const std::string registering = fmt::format("{}{}", verbs_prefix, ways_to_register);
    const auto wanted = facts.environment.find(fmt::format("UCX_{}", registering));
    if (wanted == facts.environment.end() || wanted->second.contains("rcache")) settings.emplace(registering, "direct");
    return settings;
}

namespace {

// Before 1.17, ucp_config_modify() takes what is the sockets' or the devices' alone without its prefix, and says yes to
// everything.
std::string name_to_modify(const std::string& variable) {
    unsigned major = 0, minor = 0, patch = 0;
    ucp_get_version(&major, &minor, &patch);
    const bool has_prefix = major > 1 || minor >= 17;
    for (const std::string_view prefix : {sockets_prefix, verbs_prefix})
        if (!has_prefix && variable.starts_with(prefix)) return variable.substr(prefix.size());
    return variable;
}

}  // namespace

Error ucx_error(Status status, std::string_view what, ucs_status_t cause) {
    return {status, fmt::format("{}: {}", what, ucs_status_string(cause))};
}

Result<std::unique_ptr<UcxWorker>> UcxWorker::make(ucp_am_recv_callback_t arrived, void* argument,
                                                   const UcxSettings& settings, UcxPuts puts) {
    auto always = os::WakeSignal::create();
    if (!always) return std::unexpected(always.error());
    take_over_log();
    std::unique_ptr<UcxWorker> made(new UcxWorker(std::move(*always)));
    if (auto ok = made->open(arrived, argument, settings, puts); !ok) return std::unexpected(ok.error());
    return made;
}

namespace {

std::unexpected<Error> refused(std::string_view what, ucs_status_t cause) {
    return std::unexpected(ucx_error(Status::system_error, what, cause));
}

// Null where UCX cannot; `with_puts` also lets any thread register memory and end that.
Context make_context(ucp_config_t* config, bool with_puts, ucs_status_t& made) {
    ucp_params_t wanted{};
    wanted.field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME | UCP_PARAM_FIELD_MT_WORKERS_SHARED;
    wanted.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP | (with_puts ? UCP_FEATURE_RMA : 0);
    wanted.mt_workers_shared = with_puts ? 1 : 0;
    wanted.name = "tenon";
    ucp_context_h context = nullptr;
    made = ucp_init(&wanted, config, &context);
    return made == UCS_OK ? Context{context, ucp_cleanup} : nullptr;
}

bool is_for_many_threads(ucp_context_h context) {
    ucp_context_attr_t facts{};
    facts.field_mask = UCP_ATTR_FIELD_THREAD_MODE;
    return ucp_context_query(context, &facts) == UCS_OK && facts.thread_mode == UCS_THREAD_MODE_MULTI;
}

}  // namespace

// What puts want of UCX costs an endpoint more lanes, so it is not asked for where nothing but sockets is used.
Result<void> UcxWorker::open_context(const UcxSettings& settings, UcxPuts puts) {
    ucp_config_t* config = nullptr;
    if (auto s = ucp_config_read(nullptr, nullptr, &config); s != UCS_OK)
        return refused("UCX does not accept its configuration; look at the UCX_* variables", s);
    // What this UCX does not know it does without.
    for (const auto& [name, value] : settings)
        static_cast<void>(ucp_config_modify(config, name_to_modify(name).c_str(), value.c_str()));
    ucs_status_t made = UCS_OK;
    context_ = make_context(config, puts == UcxPuts::always, made);
    if (puts == UcxPuts::automatic && context_ != nullptr && !rdma_device_in(context_in_words(context_.get())).empty())
        context_ = make_context(config, true, made);
    ucp_config_release(config);
    if (made != UCS_OK) return refused("UCX cannot be used; look at UCX_TLS and UCX_NET_DEVICES", made);
    has_puts_ = is_for_many_threads(context_.get());
    if (puts == UcxPuts::always && !has_puts_)
        return fail(Status::system_error, "UCX was built here without --enable-mt, which TENON_UCX_PUTS=always needs; "
                                          "set it to auto, or install another libucx");
    return {};
}

Result<void> UcxWorker::open(ucp_am_recv_callback_t arrived, void* argument, const UcxSettings& settings,
                             UcxPuts puts) {
    if (auto ok = open_context(settings, puts); !ok) return ok;
    ucp_worker_params_t worker{};
    // By whichever thread makes the rank's call.
    worker.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
    worker.thread_mode = UCS_THREAD_MODE_SERIALIZED;
    if (auto s = ucp_worker_create(context_.get(), &worker, &worker_); s != UCS_OK)
        return refused("UCX cannot make a worker; look at UCX_TLS and UCX_NET_DEVICES", s);
    ucp_am_handler_param_t handler{};
    handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                         UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
    handler.id = message_id;
    handler.flags = UCP_AM_FLAG_WHOLE_MSG;
    handler.cb = arrived;
    handler.arg = argument;
    if (auto s = ucp_worker_set_am_recv_handler(worker_, &handler); s != UCS_OK)
        return refused("UCX takes no handler of active messages", s);
    if (auto s = ucp_worker_get_address(worker_, &address_, &address_bytes_); s != UCS_OK)
        return refused("UCX does not say how to reach this rank", s);
    if (ucp_worker_get_efd(worker_, &descriptor_) != UCS_OK) descriptor_ = -1;  // then waits are short sleeps
    return {};
}

UcxWorker::~UcxWorker() {
    if (address_ != nullptr) ucp_worker_release_address(worker_, address_);
    if (worker_ != nullptr) ucp_worker_destroy(worker_);
}

int UcxWorker::wait_descriptor() const {
    if (descriptor_ < 0) return -1;
    switch (ucp_worker_arm(worker_)) {
        case UCS_OK: return descriptor_;
        case UCS_ERR_BUSY: return always_readable_.descriptor().number();
        default: return -1;
    }
}

}  // namespace tenon::ucx
