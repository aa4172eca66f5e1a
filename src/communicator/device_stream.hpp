// A device that a process uses, and its streams as callers hold them: who waits for one also learns what has ended the
// communicators whose calls it runs.
//
// Any thread may use a DeviceStream; each operation is one thread's at a time, in the order of the calls.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "communicator/stream.hpp"
#include "tenon/plugin/device.hpp"

namespace tenon {

struct OpenDevice {
    std::string name;  // "cuda:0"
    std::shared_ptr<device::Provider> provider;
    std::unique_ptr<device::Device> device;  // ends before its provider
};

class DeviceStream : public std::enable_shared_from_this<DeviceStream> {
public:
    // Whose calls a stream runs.
    class User {
    public:
        virtual ~User() = default;
        // All that it has enqueued there is done: whether it was what the other ranks did, too. Told once.
        virtual Result<void> settle(const DeviceStream& stream) = 0;
        // Why it has ended, if it has.
        virtual std::optional<Error> failed() = 0;
        // The stream does nothing more, for this reason; ends the user if it has work there.
        virtual void stream_failed(const DeviceStream& stream, const Error& why) = 0;
    };

    DeviceStream(std::shared_ptr<OpenDevice> device, std::unique_ptr<device::Stream> stream)
        : device_(std::move(device)), stream_(std::move(stream)) {}
    DeviceStream(const DeviceStream&) = delete;
    DeviceStream& operator=(const DeviceStream&) = delete;

    const std::shared_ptr<OpenDevice>& device() const { return device_; }
    Result<void> enqueue(const std::function<Result<void>(device::Stream&)>& work);
    // From now on `user` is asked when the stream is waited for; until it dies.
    void add_user(const std::weak_ptr<User>& user);
    Result<bool> idle();
    // Why the stream does nothing more, if so; asks no user.
    std::optional<Error> failure();
    // Waits for all that is in the stream. Whatever of it waits for another rank has a deadline; what the program
    // itself has enqueued has none.
    Result<void> synchronize();
    // Between the host's memory and the device's, or within the device's. Where a runtime would wait for what is in the
    // stream, this does, as synchronize() would.
    Result<void> copy(void* destination, const void* source, ByteCount bytes);
    Result<void> abandon(std::uint64_t timeout_ms);
    // It was, and is of no use any more; what it seems to have done may not be so.
    bool is_abandoned() const { return is_abandoned_.load(std::memory_order_acquire); }

    Result<std::shared_ptr<const Point>> mark();        // after what is in the stream now
    Result<void> wait_for(const Point& point);          // later work waits for it; it must be of a device's stream

private:
    std::vector<std::shared_ptr<User>> users();
    Error why_failed(const Error& error);

    std::shared_ptr<OpenDevice> device_;
    Result<void> wait_until_idle();

    std::atomic<bool> is_abandoned_{false};
    std::mutex mutex_;
    std::unique_ptr<device::Stream> stream_;
    std::vector<std::weak_ptr<User>> users_;
};

}  // namespace tenon
