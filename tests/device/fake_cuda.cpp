#include "tests/device/fake_cuda.hpp"

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>

#include "reduction/kernels.hpp"
#include "transports/device_link/cuda/kernels.hpp"

namespace tenon::support {
namespace {

using namespace cuda;

std::atomic_ref<std::uint32_t> word_at(Address address) {
    return std::atomic_ref<std::uint32_t>{*reinterpret_cast<std::uint32_t*>(address)};
}

constexpr std::chrono::seconds longest_full{20};
constexpr Code full_for_too_long = 999;  // CUDA_ERROR_UNKNOWN

struct FakeContext {
    int gpu = 0;
    std::atomic<int> references{0};
    std::set<FakeContext*> peers{};
};
// Which context the calling thread works in.
thread_local FakeContext* current = nullptr;

struct FakeStream {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> tasks;
    bool is_running = false, is_closing = false;
    std::atomic<bool> is_destroyed{false};
    std::thread worker;

    void work() {
        std::unique_lock held{mutex};
        for (;;) {
            changed.wait(held, [this] { return is_closing || !tasks.empty(); });
            if (tasks.empty()) return;
            const auto task = std::move(tasks.front());
            tasks.pop_front();
            is_running = true;
            held.unlock();
            task();
            held.lock();
            is_running = false;
            changed.notify_all();
        }
    }
    Code enqueue(std::function<void()> task, std::size_t depth) {
        std::unique_lock held{mutex};
        // The driver would wait for ever; a test is to fail instead.
        if (!changed.wait_for(held, longest_full, [&] { return tasks.size() < depth; })) return full_for_too_long;
        tasks.push_back(std::move(task));
        changed.notify_all();
        return success;
    }
};

struct FakeEvent {
    std::mutex mutex;
    std::condition_variable changed;
    int recorded = 0, reached = 0;
    int record() {
        const std::scoped_lock held{mutex};
        return ++recorded;
    }
    int times_recorded() {
        const std::scoped_lock held{mutex};
        return recorded;
    }
};

struct FakeFunction {
    KernelId id;
};

class FakeCuda final : public CudaApi {
public:
    explicit FakeCuda(std::shared_ptr<FakeMachine> machine) : machine_{std::move(machine)} {
        const std::scoped_lock held{machine_->mutex};
        process_ = ++machine_->processes;
        for (int gpu = 0; gpu < machine_->gpus; gpu++) contexts_.emplace_back().gpu = gpu;
        for (const KernelId id : kernel_ids()) functions_.push_back({id});
    }

    Code init() override { return fault("init"); }
    Code driver_version(int* version) override {
        *version = machine_->driver_version;
        return fault("driver_version");
    }
    Code error_name(Code code, const char** name) override {
        static const std::map<Code, const char*> names{
            {invalid_value, "CUDA_ERROR_INVALID_VALUE"},
            {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY"},
            {no_device, "CUDA_ERROR_NO_DEVICE"},
            {invalid_device, "CUDA_ERROR_INVALID_DEVICE"},
            {invalid_context, "CUDA_ERROR_INVALID_CONTEXT"},
            {not_found, "CUDA_ERROR_NOT_FOUND"},
            {illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS"},
            {not_supported, "CUDA_ERROR_NOT_SUPPORTED"},
        };
        const auto found = names.find(code);
        if (found == names.end()) return invalid_value;
        *name = found->second;
        return success;
    }
    Code error_text(Code, const char** text) override {
        *text = "says the fake";
        return success;
    }

    Code device_count(int* count) override {
        *count = machine_->gpus;
        return fault("device_count");
    }
    Code device(DeviceNumber* device, int ordinal) override {
        if (ordinal < 0 || ordinal >= machine_->gpus) return invalid_device;
        *device = ordinal;
        return fault("device");
    }
    Code device_name(char* name, int length, DeviceNumber) override {
        std::strncpy(name, "fake GPU", static_cast<std::size_t>(length));
        return success;
    }
    Code device_memory(std::size_t* bytes, DeviceNumber) override {
        *bytes = machine_->memory_bytes;
        return success;
    }
    Code device_attribute(int* value, DeviceAttribute attribute, DeviceNumber) override {
        *value = machine_->attributes.at(attribute);
        return success;
    }
    Code device_bus_id(char* id, int length, DeviceNumber device) override {
        std::strncpy(id, ("0000:0" + std::to_string(device) + ":00.0").c_str(), static_cast<std::size_t>(length));
        return success;
    }
    Code can_access_peer(int* can, DeviceNumber, DeviceNumber) override {
        *can = machine_->reach_each_other ? 1 : 0;
        return success;
    }
    Code peer_attribute(int* value, PeerAttribute, DeviceNumber, DeviceNumber) override {
        *value = machine_->reach_each_other ? 1 : 0;
        return success;
    }

    Code retain_primary_context(ContextHandle* context, DeviceNumber device) override {
        if (const Code code = fault("retain_primary_context"); code != success) return code;
        const std::scoped_lock held{machine_->mutex};
        FakeContext& of = contexts_[static_cast<std::size_t>(device)];
        of.references++;
        machine_->held["contexts"]++;
        *context = &of;
        return success;
    }
    Code release_primary_context(DeviceNumber device) override {
        const std::scoped_lock held{machine_->mutex};
        FakeContext& of = contexts_[static_cast<std::size_t>(device)];
        if (of.references == 0) return invalid_context;
        of.references--;
        machine_->held["contexts"]--;
        return success;
    }
    Code get_current(ContextHandle* context) override {
        *context = current;
        return success;
    }
    Code make_current(ContextHandle context) override {
        current = static_cast<FakeContext*>(context);
        return success;
    }
    Code enable_peer_access(ContextHandle peer) override {
        if (!in_context()) return invalid_context;
        const std::scoped_lock held{machine_->mutex};
        return current->peers.insert(static_cast<FakeContext*>(peer)).second ? success : peer_access_already_enabled;
    }

    Code allocate(Address* address, std::size_t bytes) override {
        if (!in_context()) return invalid_context;
        if (const Code code = fault("allocate"); code != success) return code;
        const std::scoped_lock held{machine_->mutex};
        std::size_t used = 0;
        for (const auto& [base, block] : machine_->blocks) used += block.gpu == current->gpu ? block.bytes : 0;
        if (bytes > machine_->memory_bytes - used) return out_of_memory;
        auto memory = std::make_unique<std::byte[]>(bytes);
        *address = reinterpret_cast<Address>(memory.get());
        machine_->blocks[*address] = {std::move(memory), bytes, current->gpu, process_};
        return success;
    }
    Code release(Address address) override {
        if (!in_context()) return invalid_context;
        const std::scoped_lock held{machine_->mutex};
        return machine_->blocks.erase(address) == 1 ? success : invalid_value;
    }
    Code allocation_of(Address* base, std::size_t* bytes, Address address) override {
        const std::scoped_lock held{machine_->mutex};
        const auto block = find(address);
        if (block == machine_->blocks.end()) return not_found;
        *base = block->first;
        *bytes = block->second.bytes;
        return success;
    }
    Code pointer_attribute(void* value, PointerAttribute attribute, Address address) override {
        const std::scoped_lock held{machine_->mutex};
        const auto block = find(address);
        if (block == machine_->blocks.end()) return invalid_value;
        const bool asks_for_type = attribute == PointerAttribute::memory_type;
        *static_cast<int*>(value) = asks_for_type ? static_cast<int>(memory_type_device) : block->second.gpu;
        return success;
    }
    Code ipc_handle(IpcHandle* handle, Address address) override {
        if (const Code code = fault("ipc_handle"); code != success) return code;
        const std::scoped_lock held{machine_->mutex};
        if (find(address) == machine_->blocks.end()) return invalid_value;
        std::memcpy(handle->bytes.data(), &address, sizeof address);
        return success;
    }
    Code open_ipc_handle(Address* address, IpcHandle handle, unsigned) override {
        if (!in_context()) return invalid_context;
        if (const Code code = fault("open_ipc_handle"); code != success) return code;
        const std::scoped_lock held{machine_->mutex};
        std::memcpy(address, handle.bytes.data(), sizeof *address);
        const auto block = machine_->blocks.find(*address);
        if (block == machine_->blocks.end()) return invalid_value;
        if (block->second.process == process_) return invalid_context;
        machine_->held["opened handles"]++;
        return success;
    }
    Code close_ipc_handle(Address) override {
        const std::scoped_lock held{machine_->mutex};
        machine_->held["opened handles"]--;
        return success;
    }

    Code create_stream(StreamHandle* stream, unsigned) override {
        if (!in_context()) return invalid_context;
        if (const Code code = fault("create_stream"); code != success) return code;
        auto* const made = new FakeStream;
        made->worker = std::thread{[made] { made->work(); }};
        hold("streams", 1);
        *stream = made;
        return success;
    }
    Code destroy_stream(StreamHandle stream) override {
        auto* const of = static_cast<FakeStream*>(stream);
        {
            const std::scoped_lock held{of->mutex, machine_->mutex};
            of->is_closing = of->is_destroyed = true;
        }
        of->changed.notify_all();
        machine_->word_changed.notify_all();
        of->worker.join();
        delete of;
        hold("streams", -1);
        return success;
    }
    Code query_stream(StreamHandle stream) override {
        if (!in_context()) return invalid_context;
        if (const Code code = fault("query_stream"); code != success) return code;
        auto* const of = static_cast<FakeStream*>(stream);
        const std::scoped_lock held{of->mutex};
        return of->tasks.empty() && !of->is_running ? success : not_ready;
    }
    Code copy(Address destination, Address source, std::size_t bytes, StreamHandle stream) override {
        if (!in_context()) return invalid_context;
        if (const Code code = fault("copy"); code != success) return code;
        return enqueue(stream, [=] {
            std::memmove(reinterpret_cast<void*>(destination), reinterpret_cast<const void*>(source), bytes);
        });
    }
    Code fill_words(Address destination, std::uint32_t word, std::size_t count, StreamHandle stream) override {
        if (!in_context()) return invalid_context;
        return enqueue(stream, [this, destination, word, count] {
            for (std::size_t i = 0; i < count; i++) set_word(destination + i * sizeof word, word);
        });
    }
    Code write_value(StreamHandle stream, Address address, std::uint32_t value, unsigned) override {
        if (!in_context() || !is_memory(address)) return invalid_value;
        return enqueue(stream, [this, address, value] { set_word(address, value); });
    }
    Code wait_value(StreamHandle stream, Address address, std::uint32_t value, unsigned) override {
        if (!in_context() || !is_memory(address)) return invalid_value;
        return enqueue(stream, [this, of = static_cast<FakeStream*>(stream), address, value] {
            std::unique_lock held{machine_->mutex};
            machine_->word_changed.wait(held, [&] { return of->is_destroyed || word_at(address).load() >= value; });
        });
    }

    Code create_event(EventHandle* event, unsigned) override {
        if (!in_context()) return invalid_context;
        *event = new FakeEvent;
        hold("events", 1);
        return success;
    }
    Code destroy_event(EventHandle event) override {
        delete static_cast<FakeEvent*>(event);
        hold("events", -1);
        return success;
    }
    Code record_event(EventHandle event, StreamHandle stream) override {
        auto* const of = static_cast<FakeEvent*>(event);
        const int recorded = of->record();
        return enqueue(stream, [of, recorded] {
            const std::scoped_lock held{of->mutex};
            of->reached = recorded;
            of->changed.notify_all();
        });
    }
    Code wait_event(StreamHandle stream, EventHandle event, unsigned) override {
        auto* const of = static_cast<FakeEvent*>(event);
        return enqueue(stream, [of, awaited = of->times_recorded()] {
            std::unique_lock held{of->mutex};
            of->changed.wait(held, [&] { return of->reached >= awaited; });
        });
    }
    Code query_event(EventHandle event) override {
        auto* const of = static_cast<FakeEvent*>(event);
        const std::scoped_lock held{of->mutex};
        return of->reached == of->recorded ? success : not_ready;
    }
    Code elapsed_ms(float* milliseconds, EventHandle, EventHandle) override {
        *milliseconds = 1;
        return success;
    }

    Code load_module(ModuleHandle* module, const void* image) override {
        if (!in_context()) return invalid_context;
        if (const Code code = fault("load_module"); code != success) return code;
        if (std::strncmp(static_cast<const char*>(image), ".version", std::strlen(".version")) != 0)
            return invalid_value;
        *module = this;
        hold("modules", 1);
        return success;
    }
    Code unload_module(ModuleHandle) override {
        hold("modules", -1);
        return success;
    }
    Code function(FunctionHandle* function, ModuleHandle, const char* name) override {
        for (FakeFunction& known : functions_)
            if (kernel_name(known.id) == name) {
                *function = &known;
                return success;
            }
        return not_found;
    }
    Code launch(FunctionHandle function, unsigned blocks, unsigned threads, StreamHandle stream,
                void** parameters) override {
        if (!in_context()) return invalid_context;
        if (const Code code = fault("launch"); code != success) return code;
        if (blocks == 0 || threads == 0) return invalid_value;
        const KernelId id = static_cast<FakeFunction*>(function)->id;
        const auto into = *static_cast<Address*>(parameters[0]), from = *static_cast<Address*>(parameters[1]);
        const auto packets = *static_cast<std::uint64_t*>(parameters[2]);
        const auto first = *static_cast<std::uint64_t*>(parameters[3]);
        const auto elements = *static_cast<std::uint64_t*>(parameters[4]);
        if (packets != 0 && (into % packet_bytes != 0 || from % packet_bytes != 0)) return invalid_value;
        return enqueue(stream, [=] {
            reduce(id, into, from, packets * packet_bytes / element_bytes(id.type));
            const std::uint64_t at = first * element_bytes(id.type);
            reduce(id, into + at, from + at, elements - first);
        });
    }

private:
    static void reduce(KernelId id, Address into, Address from, std::uint64_t elements) {
        if (elements == 0) return;
        const void* const sources[] = {reinterpret_cast<const void*>(into), reinterpret_cast<const void*>(from)};
        reduce_kernel(id.type, id.op)({.destination = reinterpret_cast<void*>(into),
                                       .sources = sources,
                                       .source_count = 2,
                                       .elements = elements});
    }
    Code fault(const char* call) const {
        const std::scoped_lock held{machine_->mutex};
        const auto found = machine_->faults.find(call);
        return found == machine_->faults.end() ? success : found->second;
    }
    void hold(const char* what, int change) const {
        const std::scoped_lock held{machine_->mutex};
        machine_->held[what] += change;
    }
    static bool in_context() { return current != nullptr && current->references > 0; }
    bool is_memory(Address address) const {
        const std::scoped_lock held{machine_->mutex};
        return find(address) != machine_->blocks.end();
    }
    // With the machine's mutex held.
    std::map<Address, FakeMachine::Block>::iterator find(Address address) const {
        auto block = machine_->blocks.upper_bound(address);
        if (block == machine_->blocks.begin()) return machine_->blocks.end();
        --block;
        return address < block->first + block->second.bytes ? block : machine_->blocks.end();
    }
    void set_word(Address address, std::uint32_t value) const {
        const std::scoped_lock held{machine_->mutex};
        word_at(address).store(value);
        machine_->word_changed.notify_all();
    }
    Code enqueue(StreamHandle stream, std::function<void()> task) const {
        return static_cast<FakeStream*>(stream)->enqueue(std::move(task), machine_->queue_depth);
    }

    std::shared_ptr<FakeMachine> machine_;
    int process_ = 0;
    std::deque<FakeContext> contexts_;
    std::deque<FakeFunction> functions_;
};

}  // namespace

std::unique_ptr<CudaApi> make_fake_cuda(std::shared_ptr<FakeMachine> machine) {
    return std::make_unique<FakeCuda>(std::move(machine));
}

}  // namespace tenon::support
