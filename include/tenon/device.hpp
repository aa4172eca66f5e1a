// C++20 over tenon/device.h: accelerators, their memory and streams, in the manner of tenon.hpp.
//
//   tenon::Device device("cuda:0");
//   tenon::Communicator ranks(rank_count, id, rank, {.device = device});
//   tenon::DeviceStream stream(device);
//   tenon::DeviceMemory<float> gradient(device, 1 << 20);
//   stream.copy_to(gradient, values);
//   ranks.all_reduce(gradient, tenonSum, stream);  // runs after the copy; the host goes on at once
//
// A device outlives its memory, streams and communicators.
#pragma once

#include "tenon/device.h"
#include "tenon/handles.hpp"

namespace tenon {
inline namespace api {

class Device : public Owned<tenonDevice_t, tenonDeviceClose> {
public:
    // Such as "cuda:0", "ascend:3" or "emulated:1".
    explicit Device(const std::string& name) : Owned(open(name)) {}

    static int count(const std::string& kind) {
        int count = 0;
        check(tenonDeviceGetCount(kind.c_str(), &count));
        return count;
    }

private:
    static tenonDevice_t open(const std::string& name) {
        tenonDevice_t device = nullptr;
        check(tenonDeviceOpen(&device, name.c_str()));
        return device;
    }
};

// An array in a device's memory, uninitialised: a buffer for calls, not for the host to read or write.
template <class T>
requires std::is_trivially_copyable_v<T>
class DeviceMemory {
public:
    DeviceMemory(const Device& device, std::size_t size) : data_(allocate(device, size), Free{device}), size_(size) {}
    T* data() const noexcept { return data_.get(); }
    std::size_t size() const noexcept { return size_; }
    T* begin() const noexcept { return data(); }
    T* end() const noexcept { return data() + size_; }

private:
    struct Free {
        tenonDevice_t device;
        void operator()(T* data) const noexcept { tenonDeviceMemFree(device, data); }
    };
    static T* allocate(const Device& device, std::size_t size) {
        if (size > SIZE_MAX / sizeof(T))
            throw Exception(tenonInvalidArgument, "tenon::DeviceMemory: the size overflows");
        void* data = nullptr;
        check(tenonDeviceMemAlloc(device, &data, size * sizeof(T)));
        return static_cast<T*>(data);
    }
    std::unique_ptr<T, Free> data_;
    std::size_t size_;
};

// A stream of a device: for calls, events (tenon::Event) and copies. The destructor waits for them.
class DeviceStream : public Owned<tenonStream_t, tenonStreamDestroy> {
public:
    explicit DeviceStream(const Device& device) : Owned(create(device)) {}
    // tenonDeviceStreamWrap: `native` is a cudaStream_t or aclrtStream of the program's, on that device.
    DeviceStream(const Device& device, void* native) : Owned(wrap(device, native)) {}

    void synchronize() { check(tenonStreamSynchronize(*this)); }
    void wait(const Event& event) { check(tenonStreamWaitEvent(*this, event)); }
    // As tenonDeviceMemcpyAsync: the host's values stay where they are until the copy is done.
    template <class T, std::ranges::contiguous_range From>
    void copy_to(const DeviceMemory<T>& to, const From& from) {
        copy(to.data(), to.size(), std::ranges::data(from), std::ranges::size(from));
    }
    template <class T, std::ranges::contiguous_range To>
    void copy_from(const DeviceMemory<T>& from, To& to) {
        copy(std::ranges::data(to), std::ranges::size(to), static_cast<const T*>(from.data()), from.size());
    }

private:
    template <class T>
    void copy(T* to, std::size_t room, const T* from, std::size_t size) {
        if (room != size)
            throw Exception(tenonInvalidArgument, "tenon::DeviceStream: source and destination differ in size");
        check(tenonDeviceMemcpyAsync(to, from, size * sizeof(T), *this));
    }
    static tenonStream_t create(const Device& device) {
        tenonStream_t stream = nullptr;
        check(tenonDeviceStreamCreate(device, &stream));
        return stream;
    }
    static tenonStream_t wrap(const Device& device, void* native) {
        tenonStream_t stream = nullptr;
        check(tenonDeviceStreamWrap(device, native, &stream));
        return stream;
    }
};

}  // namespace api
}  // namespace tenon
