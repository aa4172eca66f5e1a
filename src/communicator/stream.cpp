#include "communicator/stream.hpp"

#include <utility>

namespace tenon {

Result<bool> Marker::reached() const {
    const std::scoped_lock lock(mutex_);
    return reached_;
}

void Marker::reach() {
    {
        const std::scoped_lock lock(mutex_);
        reached_ = true;
    }
    changed_.notify_all();
}

Result<void> Marker::wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return reached_; });
    return {};
}

HostStream::HostStream() : thread_([this] { work(); }) {}

HostStream::~HostStream() {
    {
        const std::scoped_lock lock(mutex_);
        ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void HostStream::put(std::function<Result<void>()> task) {
    {
        const std::scoped_lock lock(mutex_);
        queue_.push_back(std::move(task));
    }
    changed_.notify_all();
}

std::shared_ptr<const Point> HostStream::mark() {
    auto marker = std::make_shared<Marker>();
    put([marker]() -> Result<void> {
        marker->reach();
        return {};
    });
    return marker;
}

void HostStream::wait_for(std::shared_ptr<const Point> point) {
    put([point = std::move(point)] { return point->wait(); });
}

void HostStream::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return !queue_.empty() || ending_; });
        if (queue_.empty()) return;
        auto task = std::move(queue_.front());
        queue_.pop_front();
        busy_ = true;
        lock.unlock();
        Result<void> result = task();
        task = nullptr;  // what it held ends before anybody is told that it is done
        lock.lock();
        busy_ = false;
        if (!result && !error_) error_ = std::move(result.error());
        if (queue_.empty()) changed_.notify_all();
    }
}

bool HostStream::idle() const {
    const std::scoped_lock lock(mutex_);
    return queue_.empty() && !busy_;
}

Result<void> HostStream::take_error() {
    const std::scoped_lock lock(mutex_);
    if (auto error = std::exchange(error_, std::nullopt)) return std::unexpected(std::move(*error));
    return {};
}

Result<void> HostStream::synchronize() {
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
    }
    return take_error();
}

void Event::record(std::shared_ptr<const Point> point) {
    const std::scoped_lock lock(mutex_);
    point_ = std::move(point);
}

std::shared_ptr<const Point> Event::point() const {
    const std::scoped_lock lock(mutex_);
    return point_;
}

}  // namespace tenon
