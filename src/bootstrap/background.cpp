#include "bootstrap/background.hpp"

#include <fmt/format.h>

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "os/process.hpp"
#include "os/thread.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::size_t server_limit = 256;

class Background {
public:
    Result<bool> serve(Post post) {
        const std::lock_guard lock{mutex_};
        std::erase_if(running_, [](Running& running) {
            if (!running.server->finished()) return false;
            running.end();
            return true;
        });
        if (running_.size() >= server_limit)
            return fail(Status::invalid_usage,
                        fmt::format("{} meetings of this process are not over yet: make one unique "
                                    "id per communicator, in one of its processes",
                                    server_limit));
        auto server = Server::create(std::move(post));
        if (!server) return std::unexpected(server.error());
        if (!*server) return false;
        auto thread = os::start_thread([served = server->get()] { served->run(); });
        if (!thread) return std::unexpected(thread.error());
        running_.push_back({std::move(*server), std::move(*thread)});
        return true;
    }

    void stop_all() {
        const std::lock_guard lock{mutex_};
        for (Running& running : running_) running.end();
        running_.clear();
    }

private:
    struct Running {
        std::unique_ptr<Server> server;
        std::thread thread;
        void end() {
            server->stop();
            thread.join();
        }
    };
    std::mutex mutex_;
    std::vector<Running> running_;
};

// In a forked child the parent's threads do not exist: its servers are left alone there, for they can neither be
// joined nor destroyed. They stay reachable, and their memory is the price.
struct PerProcess {
    os::ProcessToken process = os::process_token();
    Background background;
    std::unique_ptr<PerProcess> of_parent;
};

class Owner {
public:
    ~Owner() {
        if (current_ != nullptr && current_->process == os::process_token()) current_->background.stop_all();
    }
    Background& background() {
        const std::lock_guard lock{mutex_};
        if (current_ == nullptr || current_->process != os::process_token()) {
            auto* made = new PerProcess;
            made->of_parent.reset(current_);
            current_ = made;
        }
        return current_->background;
    }

private:
    std::mutex mutex_;
    PerProcess* current_ = nullptr;
};

Owner owner;

}  // namespace

Result<bool> serve_in_background(Post post) { return owner.background().serve(std::move(post)); }

}  // namespace tenon::bootstrap
