// A stream of the host: a thread that runs work in the order in which it was put in; and events, points in streams.
//
// Any thread may use a stream or an event. The destructor waits for the work. The first error since the last wait is
// what synchronize() returns; work after an error still runs, since it may belong to another communicator.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "tenon/plugin/types.hpp"

namespace tenon {

// A point in a stream: done when everything before it has run.
class Point {
public:
    virtual ~Point() = default;
    // An error: it never will be.
    virtual Result<bool> reached() const = 0;
    virtual Result<void> wait() const = 0;
};

// In a stream of the host.
class Marker final : public Point {
public:
    Result<bool> reached() const override;
    void reach();
    Result<void> wait() const override;

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    bool reached_ = false;
};

class HostStream {
public:
    HostStream();
    ~HostStream();
    HostStream(const HostStream&) = delete;

    void put(std::function<Result<void>()> work);
    std::shared_ptr<const Point> mark();                // the point after what is in the stream now
    void wait_for(std::shared_ptr<const Point> point);  // later work waits for it
    Result<void> synchronize();
    bool idle() const;
    Result<void> take_error();

private:
    void work();
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::deque<std::function<Result<void>()>> queue_;
    bool busy_ = false, ending_ = false;
    std::optional<Error> error_;
    std::thread thread_;
};

class Event {
public:
    void record(std::shared_ptr<const Point> point);
    std::shared_ptr<const Point> point() const;  // null when nothing was recorded

private:
    mutable std::mutex mutex_;
    std::shared_ptr<const Point> point_;
};

}  // namespace tenon
