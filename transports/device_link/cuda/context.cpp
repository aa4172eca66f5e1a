#include "transports/device_link/cuda/context.hpp"

#include <fmt/format.h>

#include "os/clock.hpp"
#include "os/cpu.hpp"
#include "transports/device_link/cuda/kernels.hpp"

namespace tenon::cuda {
namespace {

// The driver shares whole blocks of this size: smaller allocations would lie in one block with others.
constexpr std::uint64_t block_bytes = 2 << 20;

std::string in_words(CudaApi& api, Code code) {
    const char *name = nullptr, *text = nullptr;
    if (api.error_name(code, &name) != success || name == nullptr) name = "an error that the driver does not name";
    if (api.error_text(code, &text) != success || text == nullptr) text = "no more is known";
    return fmt::format("{} ({}), {}", name, code, text);
}

}  // namespace

Result<std::shared_ptr<Context>> Context::open(std::shared_ptr<CudaApi> api, int ordinal, os::ProcessToken self) {
    std::shared_ptr<Context> opened{new Context{std::move(api), ordinal, self}};
    if (auto started = opened->start(); !started) return std::unexpected(started.error());
    return opened;
}

Context::~Context() {
    if (context_ == nullptr || !enter()) return;
    if (own_stream_ != nullptr) api_->destroy_stream(own_stream_);
    if (notify_pool_ != 0) api_->release(notify_pool_);
    if (module_ != nullptr) api_->unload_module(module_);
    api_->release_primary_context(number_);
}

Result<void> Context::start() {
    if (auto r = check(api_->device(&number_, ordinal_), "cuDeviceGet"); !r) return r;
    if (auto r = read_attributes(); !r) return r;
    if (auto r = check(api_->retain_primary_context(&context_, number_), "cuDevicePrimaryCtxRetain",
                       "; another process may hold the device for itself (compute mode exclusive)");
        !r) {
        context_ = nullptr;
        return r;
    }
    if (auto r = enter(); !r) return r;
    if (auto r = check(api_->create_stream(&own_stream_, stream_is_non_blocking), "cuStreamCreate"); !r) return r;
    if (auto r = load_kernels(); !r) return r;
    return make_notifies();
}

Result<void> Context::read_attributes() {
    int major = 0, minor = 0, processors = 0, waits = 0, flushes = 0;
    const auto read = [&](int& value, DeviceAttribute attribute) {
        return check(api_->device_attribute(&value, attribute, number_), "cuDeviceGetAttribute");
    };
    if (auto r = read(major, DeviceAttribute::compute_capability_major); !r) return r;
    if (auto r = read(minor, DeviceAttribute::compute_capability_minor); !r) return r;
    if (auto r = read(processors, DeviceAttribute::processor_count); !r) return r;
    if (auto r = read(waits, DeviceAttribute::stream_waits_for_nor); !r) return r;
    if (auto r = read(flushes, DeviceAttribute::can_flush_remote_writes); !r) return r;
    std::array<char, 32> id{};
    if (auto r = check(api_->device_bus_id(id.data(), static_cast<int>(id.size()), number_), "cuDeviceGetPCIBusId"); !r)
        return r;
    bus_id_ = id.data();
    processors_ = static_cast<unsigned>(std::max(processors, 1));
    flushes_remote_writes_ = flushes != 0;
    constexpr int ten = 10;
    if (major * ten + minor < oldest_compute_capability)
        return fail(Status::device_error,
                    fmt::format("GPU {} has compute capability {}.{}: Tenon's kernels need {}.{}", ordinal_, major,
                                minor, oldest_compute_capability / ten, oldest_compute_capability % ten));
    if (waits == 0)
        return fail(Status::device_error, fmt::format("GPU {} has no operations on stream memory, which carry signals "
                                                      "between processes: use a newer driver",
                                                      ordinal_));
    return {};
}

Result<void> Context::load_kernels() {
    const std::string ptx = kernels_ptx();
    if (auto r = check(api_->load_module(&module_, ptx.c_str()), "cuModuleLoadData",
                       "; the driver must be able to compile PTX 7.0");
        !r)
        return r;
    Address none = 0;
    std::uint64_t zero = 0;
    void* parameters[] = {&none, &none, &zero, &zero, &zero};
    for (const KernelId id : kernel_ids()) {
        FunctionHandle& kernel = kernels_[place(id.type, id.op)];
        if (auto r = check(api_->function(&kernel, module_, kernel_name(id).c_str()), "cuModuleGetFunction"); !r)
            return r;
        // A kernel that is loaded at its first launch may wait for the device, and so for a peer: not later.
        if (auto r = check(api_->launch(kernel, 1, 1, own_stream_, parameters), "cuLaunchKernel"); !r) return r;
    }
    return finish_own_stream();
}

Result<void> Context::make_notifies() {
    auto pool = allocate(notify_limit * notify_bytes);
    if (!pool) return std::unexpected(pool.error());
    notify_pool_ = *pool;
    for (std::uint32_t n = notify_limit; n-- > 0;) free_notifies_.push_back(n);
    constexpr std::size_t words = notify_limit * notify_bytes / sizeof(std::uint32_t);
    if (auto r = check(api_->fill_words(notify_pool_, 0, words, own_stream_), "cuMemsetD32Async"); !r) return r;
    return finish_own_stream();
}

Result<void> Context::finish_own_stream() {
    constexpr std::uint64_t patience_ms = 60'000;
    const os::Deadline deadline = os::Deadline::after_ms(patience_ms);
    for (;;) {
        const Code code = api_->query_stream(own_stream_);
        if (code == success) return {};
        if (code != not_ready) return std::unexpected(problem(code, "cuStreamQuery"));
        if (deadline.passed())
            return fail(Status::timeout, fmt::format("GPU {} has not run a word's write within {} ms: it hangs, or "
                                                     "others keep it busy",
                                                     ordinal_, patience_ms));
        os::yield_core();
    }
}

Result<void> Context::enter() const { return check(api_->make_current(context_), "cuCtxSetCurrent"); }

Error Context::problem(Code code, const char* call, const char* advice) const {
    return {Status::device_error, fmt::format("GPU {}: {} gave {}{}", ordinal_, call, in_words(*api_, code), advice)};
}

Result<void> Context::check(Code code, const char* call, const char* advice) const {
    if (code == success) return {};
    return std::unexpected(problem(code, call, advice));
}

Result<void> Context::expect_own_memory(const void* address, const char* what) const {
    const auto at = reinterpret_cast<Address>(address);
    unsigned type = 0;
    int owner = -1;
    const bool is_known = api_->pointer_attribute(&type, PointerAttribute::memory_type, at) == success &&
                          type == memory_type_device &&
                          api_->pointer_attribute(&owner, PointerAttribute::device_number, at) == success;
    if (is_known && owner == ordinal_) return {};
    return fail(Status::invalid_argument, fmt::format("GPU {}: {} is not memory of this device but {}", ordinal_, what,
                                                      is_known ? fmt::format("of GPU {}", owner) : "the host's"));
}

Result<Address> Context::allocate(std::uint64_t bytes) const {
    if (auto entered = enter(); !entered) return std::unexpected(entered.error());
    const std::uint64_t blocks = std::max<std::uint64_t>(1, (bytes + block_bytes - 1) / block_bytes);
    Address address = 0;
    const Code code = api_->allocate(&address, blocks * block_bytes);
    if (code == success) return address;
    Error error = problem(code, "cuMemAlloc");
    error.message += fmt::format(", for {} bytes{}", bytes,
                                 code == out_of_memory ? ": free memory first, also of other processes" : "");
    return std::unexpected(std::move(error));
}

void Context::release(Address address) const {
    if (enter()) api_->release(address);
}

Result<std::uint32_t> Context::take_notify() {
    std::uint32_t number = 0;
    {
        const std::scoped_lock held{mutex_};
        if (free_notifies_.empty())
            return fail(Status::device_error, fmt::format("GPU {} has no notify left of its {}: destroy some, or use "
                                                          "fewer channels",
                                                          ordinal_, notify_limit));
        number = free_notifies_.back();
        free_notifies_.pop_back();
    }
    // Whoever had it before may have left it set.
    if (auto reset = write_word(notify_pool_ + number * notify_bytes, 0); !reset) {
        give_back_notify(number);
        return std::unexpected(reset.error());
    }
    return number;
}

void Context::give_back_notify(std::uint32_t number) {
    const std::scoped_lock held{mutex_};
    free_notifies_.push_back(number);
}

Result<void> Context::write_word(Address address, std::uint32_t value) {
    if (auto entered = enter(); !entered) return entered;
    const std::scoped_lock held{mutex_};
    if (auto r = check(api_->fill_words(address, value, 1, own_stream_), "cuMemsetD32Async"); !r) return r;
    return finish_own_stream();
}

}  // namespace tenon::cuda
