#include "c_api/handles.hpp"

#include <fmt/format.h>

#include "base/exception.hpp"

namespace tenon::c_api {
namespace {

thread_local std::string thread_error;

std::mutex handles_mutex;
// On the heap and never freed, like the handles: threads may still look at them while the process ends.
std::vector<std::unique_ptr<tenonComm>>& handles() {
    static auto* const all = new std::vector<std::unique_ptr<tenonComm>>;
    return *all;
}

}  // namespace

tenonResult_t report(const Error& error, tenonComm* comm) {
    thread_error = error.message;
    if (comm != nullptr) {
        const std::scoped_lock lock(comm->error_mutex);
        comm->last_error = error.message;
    }
    return result_of(error.status);
}

tenonResult_t report_exception(tenonComm* comm) {
    Error error = error_of_current_exception();
    if (comm == nullptr) return report(error);
    const Inside inside(*comm);  // what was thrown has left
    if (is_alive(comm)) error = comm->communicator->give_up(std::move(error));
    return report(error, comm);
}

tenonResult_t report(Status status, std::string message, tenonComm* comm) {
    return report(Error{status, std::move(message)}, comm);
}

const std::string& last_error_of_thread() { return thread_error; }

tenonResult_t refuse_handle(const tenonComm* comm, const char* function) {
    if (comm == nullptr) return report(Status::invalid_argument, fmt::format("{}: the communicator is NULL", function));
    return report(Status::invalid_argument,
                  fmt::format("rank {}: {}: the communicator was destroyed or aborted; make a new one", comm->rank,
                              function));
}

tenonResult_t refuse(tenonComm* comm, const char* function, std::string_view what, Status status) {
    return report(status, fmt::format("rank {}: {}: {}", comm->rank, function, what), comm);
}

tenonComm* make_handle(std::unique_ptr<Communicator> communicator) {
    auto handle = std::make_unique<tenonComm>();
    handle->rank = communicator->rank();
    handle->communicator = std::move(communicator);
    const std::scoped_lock lock(handles_mutex);
    return handles().emplace_back(std::move(handle)).get();
}

Result<Config> configuration(const tenonConfig_t* given) {
    auto config = read_config();
    if (!config) return config;
    set_log_level(config->log_level);
    if (given == nullptr) return config;
    if (given->magic != TENON_CONFIG_MAGIC || given->size != sizeof(tenonConfig_t))
        return fail(Status::invalid_argument,
                    "the tenonConfig_t was not made with this version's TENON_CONFIG_INITIALIZER");
    const auto set = [&](const char* name, const std::string& value) { return set_variable(*config, name, value); };
    Result<void> ok;
    if (given->deterministic != TENON_CONFIG_UNDEF_INT)
        ok = set("TENON_DETERMINISTIC", fmt::to_string(given->deterministic));
    if (ok && given->timeoutMs != 0) ok = set("TENON_TIMEOUT_MS", fmt::to_string(given->timeoutMs));
    if (ok && given->slotMemoryBytes != 0) ok = set("TENON_SLOT_MEMORY_BYTES", fmt::to_string(given->slotMemoryBytes));
    if (ok && given->algorithm != nullptr) ok = set("TENON_ALGORITHM", given->algorithm);
    if (!ok) return std::unexpected(ok.error());
    return config;
}

}  // namespace tenon::c_api
