// What all objects of one opened GPU share: the driver, the context, the kernels and the pool of notifies.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "os/process.hpp"
#include "tenon/plugin/device.hpp"
#include "transports/device_link/cuda/cuda_api.hpp"

namespace tenon::cuda {

// Notifies of a device that exist at once; each has a line of its own.
inline constexpr std::uint32_t notify_limit = 8192;
inline constexpr std::uint64_t notify_bytes = 64;
// Waiting streams look for at least this; a notify that ends an abandoned wait need not be told from another.
inline constexpr std::uint32_t notify_set = 1;

class Context {
public:
    static Result<std::shared_ptr<Context>> open(std::shared_ptr<CudaApi> api, int ordinal, os::ProcessToken self);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    CudaApi& api() const { return *api_; }
    device::DeviceIndex index() const { return static_cast<device::DeviceIndex>(ordinal_); }
    DeviceNumber number() const { return number_; }
    const os::ProcessToken& self() const { return self_; }
    const std::string& bus_id() const { return bus_id_; }
    unsigned processors() const { return processors_; }
    bool flushes_remote_writes() const { return flushes_remote_writes_; }
    FunctionHandle kernel(DataType type, ReduceOp op) const { return kernels_[place(type, op)]; }

    // Makes the device the calling thread's; every use of the driver begins so.
    Result<void> enter() const;
    // What a call gave, in words that name the call and this device.
    Result<void> check(Code code, const char* call, const char* advice = "") const;
    Error problem(Code code, const char* call, const char* advice = "") const;
    // An error where these bytes are not memory of this device.
    Result<void> expect_own_memory(const void* address, const char* what) const;

    Result<Address> allocate(std::uint64_t bytes) const;
    // Waits, as the driver does, until nothing on the device runs.
    void release(Address address) const;

    Address notify_pool() const { return notify_pool_; }
    Result<std::uint32_t> take_notify();
    void give_back_notify(std::uint32_t number);
    // Sets the word from the host's side, beside what all other streams do.
    Result<void> write_word(Address address, std::uint32_t value);

private:
    Context(std::shared_ptr<CudaApi> api, int ordinal, os::ProcessToken self)
        : api_{std::move(api)}, ordinal_{ordinal}, self_{self} {}
    static std::size_t place(DataType type, ReduceOp op) {
        return static_cast<std::size_t>(type) * reduce_op_count + static_cast<std::size_t>(op);
    }
    Result<void> start();
    Result<void> read_attributes();
    Result<void> load_kernels();
    Result<void> make_notifies();
    Result<void> finish_own_stream();

    std::shared_ptr<CudaApi> api_;
    int ordinal_;
    os::ProcessToken self_;
    DeviceNumber number_ = 0;
    std::string bus_id_;
    unsigned processors_ = 1;
    bool flushes_remote_writes_ = false;
    ContextHandle context_ = nullptr;
    ModuleHandle module_ = nullptr;
    std::array<FunctionHandle, data_type_count * reduce_op_count> kernels_{};
    Address notify_pool_ = 0;
    std::mutex mutex_;  // over the rest
    StreamHandle own_stream_ = nullptr;
    std::vector<std::uint32_t> free_notifies_;
};

}  // namespace tenon::cuda
