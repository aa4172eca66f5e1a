// The module tenon_pmix.so: see bootstrap/pmix_module.hpp.
#include "bootstrap/pmix_module.hpp"

#include <fmt/format.h>
#include <pmix.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "os/process.hpp"

namespace {

using tenon::Result;
using tenon::Status;

constexpr const char* key = "tenon.address";
constexpr std::chrono::milliseconds look_again{50};

std::unexpected<tenon::Error> pmix_error(std::string_view tried, pmix_status_t status) {
    return tenon::fail(Status::system_error, fmt::format("PMIx cannot {}: {}", tried, PMIx_Error_string(status)));
}

// This process as a client of its host's server, from its first call to its end: who leaves and comes back at once
// hangs now and then under Open MPI 4.1. An MPI of this process may come before or later: PMIx counts who uses it.
class Client {
public:
    Result<pmix_proc_t> connect() {
        const std::scoped_lock lock{mutex_};
        if (has_left_) return tenon::fail(Status::invalid_usage, "this process has left PMIx: it is ending");
        if (process_ == 0) {
            const pmix_status_t status = PMIx_Init(&self_, nullptr, 0);
            if (status != PMIX_SUCCESS) return pmix_error("reach the launcher's server on this host", status);
            process_ = tenon::os::process_id();
        }
        if (process_ == tenon::os::process_id()) return self_;
        return tenon::fail(Status::invalid_usage, "a child of a process that has called PMIx cannot call it, too");
    }
    void leave() {
        const std::scoped_lock lock{mutex_};
        if (process_ == tenon::os::process_id() && !std::exchange(has_left_, true)) PMIx_Finalize(nullptr, 0);
    }

private:
    std::mutex mutex_;
    pid_t process_ = 0;
    bool has_left_ = false;
    pmix_proc_t self_{};
};

// Never destroyed: threads of the library may still call while the process ends.
Client& client() {
    static auto* const one = new Client;
    return *one;
}

Result<void> put(const std::string& text) {
    if (const auto self = client().connect(); !self) return std::unexpected(self.error());
    pmix_value_t value{};
    value.type = PMIX_STRING;
    value.data.string = const_cast<char*>(text.c_str());  // it is copied
    pmix_status_t status = PMIx_Put(PMIX_GLOBAL, key, &value);
    if (status == PMIX_SUCCESS) status = PMIx_Commit();
    if (status != PMIX_SUCCESS) return pmix_error("pass on this host's address", status);
    return {};
}

// Outlives its question: PMIx may answer when nobody waits any more.
struct Reply {
    std::mutex mutex;
    std::condition_variable came;
    std::optional<pmix_status_t> status;
    std::string text;
};

void take_reply(pmix_status_t status, pmix_value_t* value, void* data) {
    const std::unique_ptr<std::shared_ptr<Reply>> reply{static_cast<std::shared_ptr<Reply>*>(data)};
    const std::scoped_lock lock{(*reply)->mutex};
    const bool has_text = status == PMIX_SUCCESS && value != nullptr && value->type == PMIX_STRING;
    if (has_text) (*reply)->text = value->data.string;
    (*reply)->status = status == PMIX_SUCCESS && !has_text ? PMIX_ERR_TYPE_MISMATCH : status;
    (*reply)->came.notify_all();
}

// Waits for one answer; nothing when it was over before.
std::optional<pmix_status_t> ask(const pmix_proc_t& of, std::string& text, const std::function<bool()>& is_over) {
    const auto reply = std::make_shared<Reply>();
    auto held = std::make_unique<std::shared_ptr<Reply>>(reply);
    const pmix_status_t status = PMIx_Get_nb(&of, key, nullptr, 0, take_reply, held.get());
    if (status != PMIX_SUCCESS) return status;
    (void)held.release();  // take_reply has it now
    std::unique_lock lock{reply->mutex};
    while (!reply->status && !is_over()) reply->came.wait_for(lock, look_again);
    text = reply->text;
    return reply->status;
}

// A server that gave up waiting, as for ranks of its own host after two seconds, is asked again.
bool may_come_later(pmix_status_t status) { return status == PMIX_ERR_TIMEOUT || status == PMIX_ERR_NOT_FOUND; }

Result<std::optional<std::string>> get(const std::function<bool()>& is_over) {
    const auto self = client().connect();
    if (!self) return std::unexpected(self.error());
    pmix_proc_t rank_0 = *self;
    rank_0.rank = 0;
    std::mutex resting;
    std::condition_variable never;
    while (!is_over()) {
        std::string text;
        const auto status = ask(rank_0, text, is_over);
        if (!status) break;
        if (*status == PMIX_SUCCESS) return text;
        if (!may_come_later(*status)) return pmix_error("say what rank 0's address is", *status);
        std::unique_lock lock{resting};
        never.wait_for(lock, look_again);
    }
    return std::nullopt;
}

}  // namespace

extern "C" TENON_PLUGIN_EXPORT const tenon::bootstrap::PmixModule tenonPmix;
const tenon::bootstrap::PmixModule tenonPmix = {tenon::bootstrap::pmix_module_version, TENON_BUILD_TAG, put, get,
                                                [] { client().leave(); }};
