// Work that goes on in a process beside its callers, each piece on a thread of its own, until it is done or the process
// ends. A Task has run(), which its thread calls; stop(), by any thread, after which run() soon returns; and
// finished().
//
// Thread-safe. A forked child starts with none: the parent's go on in the parent alone. There, they can neither be
// joined nor destroyed; they stay reachable, and their memory is the price.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "os/process.hpp"
#include "os/thread.hpp"

namespace tenon::os {

template <class Task>
class Background {
public:
    Background() = default;
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;
    // At the end of the process: those that still run are stopped and waited for.
    ~Background() {
        const std::lock_guard lock{mutex_};
        if (current_ == nullptr || current_->process != process_token()) return;
        for (Running& running : current_->running) running.end();
        current_->running.clear();
    }

    // How many run.
    std::size_t count() {
        const std::lock_guard lock{mutex_};
        return of_this_process().running.size();
    }

    Result<void> start(std::shared_ptr<Task> task) {
        const std::lock_guard lock{mutex_};
        auto& running = of_this_process().running;
        auto thread = start_thread([task] { task->run(); });
        if (!thread) return std::unexpected(thread.error());
        running.push_back({std::move(task), std::move(*thread)});
        return {};
    }

private:
    struct Running {
        std::shared_ptr<Task> task;
        std::thread thread;
        void end() {
            task->stop();
            thread.join();
        }
    };
    struct PerProcess {
        ProcessToken process = process_token();
        std::vector<Running> running;
        std::unique_ptr<PerProcess> of_parent;
    };
    // Without those that have come to their end.
    PerProcess& of_this_process() {
        if (current_ == nullptr || current_->process != process_token()) {
            auto* made = new PerProcess;
            made->of_parent.reset(current_);
            current_ = made;
        }
        std::erase_if(current_->running, [](Running& running) {
            if (!running.task->finished()) return false;
            running.end();
            return true;
        });
        return *current_;
    }

    std::mutex mutex_;
    PerProcess* current_ = nullptr;  // never destroyed: threads of a forked child's parent are in it
};

}  // namespace tenon::os
