#include "bootstrap/pmix.hpp"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "base/log.hpp"
#include "bootstrap/pmix_module.hpp"
#include "os/process.hpp"
#include "os/shared_library.hpp"
#include "os/thread.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::string_view module_file = "tenon_pmix.so";

std::unexpected<Error> unusable(std::string_view why) {
    return fail(Status::system_error,
                fmt::format("only the launcher's PMIx knows where rank 0 of this job is, and it cannot be asked: {}; "
                            "build Tenon where the headers of libpmix are (Debian: libpmix-dev) and run it where "
                            "libpmix is (libpmix2), or set MASTER_ADDR to rank 0's host, or TENON_RENDEZVOUS to that "
                            "host and a port, or to file: and a path that all hosts share",
                            why));
}

// Never closed: libpmix has threads of its own, and an MPI of this process may use it, too.
Result<const PmixModule*> load_module() {
    const auto path = os::find_module(module_file);
    if (!path) return unusable(fmt::format("there is no {} in the folder tenon beside libtenon", module_file));
    auto library = os::SharedLibrary::open(*path);
    if (!library) return unusable(library.error().message);
    const auto module = library->symbol<const PmixModule*>(pmix_module_symbol);
    if (!module) return unusable(module.error().message);
    const PmixModule& m = **module;
    if (m.version != pmix_module_version || std::string_view{m.build_tag} != TENON_BUILD_TAG)
        return unusable(fmt::format("{} was not built with this library", *path));
    static auto* const kept = new os::SharedLibrary{std::move(*library)};
    (void)kept;
    return *module;
}

std::atomic<bool> process_is_ending{false};
bool is_ending() { return process_is_ending.load(std::memory_order_acquire); }

// The calls that are under way, and the end of the process, which waits for them but not for a server that is stuck.
class Calls {
public:
    Result<const PmixModule*> module() {
        const std::scoped_lock lock{mutex_};
        if (module_ == nullptr) {
            const auto loaded = load_module();
            if (!loaded) return loaded;
            module_ = *loaded;
        }
        return module_;
    }

    // The call owns what it needs: it may outlive whoever waits for it.
    Result<void> start(std::function<void()> call) {
        const std::scoped_lock lock{mutex_};
        if (is_ending())
            return fail(Status::invalid_usage, "this process is ending, and PMIx is not asked any more: make "
                                               "communicators before the process ends");
        pid_t none = 0;
        process_.compare_exchange_strong(none, os::process_id());
        return run_beside(std::move(call));
    }
    // A call that does not end is left alone, and so is the server then. A forked child has none of its parent's
    // threads, one of which may have held the lock.
    void end() {
        if (process_.load(std::memory_order_acquire) != os::process_id()) return;
        std::unique_lock lock{mutex_};
        if (all_end(lock) && run_beside(module_->leave)) all_end(lock);
    }

private:
    Result<void> run_beside(std::function<void()> call) {
        auto thread = os::start_thread([this, body = std::move(call)] {
            body();
            const std::scoped_lock done{mutex_};
            running_--;
            fewer_.notify_all();
        });
        if (!thread) return std::unexpected(thread.error());
        thread->detach();
        running_++;
        return {};
    }
    bool all_end(std::unique_lock<std::mutex>& lock) {
        return fewer_.wait_for(lock, patience_at_the_end, [&] { return running_ == 0; });
    }

    static constexpr std::chrono::seconds patience_at_the_end{2};
    std::mutex mutex_;
    std::condition_variable fewer_;
    int running_ = 0;
    std::atomic<pid_t> process_{0};  // which made the first call
    const PmixModule* module_ = nullptr;
};

// Made by who first needs it, and never destroyed: threads of this process may still ask, and calls go on, while it
// ends.
std::atomic<bool> there_were_calls{false};
Calls& calls() {
    static auto* const one = new Calls;
    there_were_calls.store(true, std::memory_order_release);
    return *one;
}

struct EndOfCalls {
    ~EndOfCalls() {
        process_is_ending.store(true, std::memory_order_release);
        if (there_were_calls.load(std::memory_order_acquire)) calls().end();
    }
};
const EndOfCalls end_of_calls;

}  // namespace

class AddressQuestion::Asking {
public:
    void run(const PmixModule& module) {
        auto told = module.get([&] { return stopped_.load(std::memory_order_acquire) || is_ending(); });
        const std::scoped_lock lock{mutex_};
        if (!told)
            answer_ = std::unexpected(told.error());
        else if (*told)
            answer_ = std::move(**told);
    }
    void stop() { stopped_.store(true, std::memory_order_release); }
    std::optional<Result<std::string>> answer() const {
        const std::scoped_lock lock{mutex_};
        return answer_;
    }

private:
    std::atomic<bool> stopped_{false};
    mutable std::mutex mutex_;
    std::optional<Result<std::string>> answer_;
};

Result<void> find_pmix() {
    const auto module = calls().module();
    if (!module) return std::unexpected(module.error());
    return {};
}

Result<void> put_up_address(std::string address) {
    const auto module = calls().module();
    if (!module) return std::unexpected(module.error());
    return calls().start([module = *module, text = std::move(address)] {
        if (const auto put = module->put(text); !put)
            log(LogLevel::warning, "other hosts cannot learn this one's address: {}", put.error().message);
    });
}

Result<AddressQuestion> AddressQuestion::ask() {
    const auto module = calls().module();
    if (!module) return std::unexpected(module.error());
    auto asking = std::make_shared<Asking>();
    if (auto started = calls().start([asking, module = *module] { asking->run(*module); }); !started)
        return std::unexpected(started.error());
    return AddressQuestion{std::move(asking)};
}

AddressQuestion::~AddressQuestion() {
    if (asking_) asking_->stop();
}

std::optional<Result<std::string>> AddressQuestion::answer() const { return asking_->answer(); }

}  // namespace tenon::bootstrap
