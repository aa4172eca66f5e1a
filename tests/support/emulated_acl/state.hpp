// One process's part of the emulated ACL: its machine, what it made, what it did wrong, and the errors that tests
// want. The devices are emulated ones (transports/device_link/emulated): memory, links, streams and notifies are
// theirs; here are the runtime's handles, contexts, rules and codes.
//
// Thread-safe: handles are looked up under one lock, and what is found lives as long as it is used.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "tests/support/emulated_acl/control.hpp"
#include "tests/support/emulated_acl/exports.hpp"
#include "transports/device_link/emulated/stream.hpp"

namespace tenon::support::acl {

namespace abi = ascend::abi;
using abi::Code;
using abi::Handle;

struct AclContext {
    std::shared_ptr<emulated::DeviceState> device;
    std::int32_t number = 0;  // as this server counts
    int users = 0;
};
struct AclStream {
    std::shared_ptr<AclContext> context;
    std::unique_ptr<device::Stream> stream;
    std::atomic<bool> is_aborted{false};
};
struct AclEvent {
    emulated::EmulatedEvent event{};
    std::atomic<bool> is_recorded{false};
};
struct AclNotify {
    std::unique_ptr<device::Notify> notify;
    std::string key;  // once it was exported
};
struct AclPhysical {
    device::DeviceIndex device = 0;
    std::byte* address = nullptr;  // in the machine
    std::uint64_t bytes = 0;
    std::optional<emulated::Machine::Imported> imported;
    std::vector<device::Key> exports;
};
struct AclReservation {
    os::Mapping mapping;  // nobody's memory, so that the address is this one's
    std::shared_ptr<AclPhysical> physical;
};

// Objects by their handles, which are their addresses.
template <class T>
class Handles {
public:
    Handle add(std::shared_ptr<T> object) {
        const Handle handle = object.get();
        objects_[handle] = std::move(object);
        return handle;
    }
    std::shared_ptr<T> find(Handle handle) const {
        const auto found = objects_.find(handle);
        return found == objects_.end() ? nullptr : found->second;
    }
    std::shared_ptr<T> take(Handle handle) {
        auto found = find(handle);
        objects_.erase(handle);
        return found;
    }
    std::size_t size() const { return objects_.size(); }
    void clear() { objects_.clear(); }
    auto begin() const { return objects_.begin(); }
    auto end() const { return objects_.end(); }

private:
    std::map<Handle, std::shared_ptr<T>> objects_;
};

struct State {
    static State& get();
    // Streams end without the lock, which they need for nothing.
    void forget_all();
    device::DeviceIndex whole_number(std::uint32_t device) const { return server * devices_per_server + device; }

    std::recursive_mutex mutex;
    std::shared_ptr<emulated::Machine> machine;
    std::uint32_t server = 0, devices_per_server = 0;
    bool is_initialized = false;
    std::map<std::int32_t, std::shared_ptr<AclContext>> contexts;  // by device
    Handles<AclStream> streams;
    Handles<AclEvent> events;
    Handles<AclNotify> notifies;
    Handles<AclPhysical> physical;
    std::map<std::byte*, AclReservation> reservations;
    std::set<void*> allocations;
    std::set<std::string> exported_memory;
    std::map<std::string, emulated::Machine::Imported> imported_memory;

    std::atomic<std::uint64_t> calls{0};
    std::vector<std::string> misuse;
    std::map<std::string, Code> faults;
};

// One call of one of ACL's functions: counted, and the place where it is said what was wrong with it.
class Call {
public:
    explicit Call(const char* function);
    // The code with which the function must end at once: a test's, or since nothing was initialized.
    const std::optional<Code>& end() const { return end_; }
    Code misuse(Code code, const std::string& why) const;
    // What an emulated device says, as a code; misuse unless it says what may happen to anybody.
    Code code_of(const Error& error) const;
    State& state() const { return state_; }
    // The calling thread's; null, and misuse, where it has none.
    std::shared_ptr<AclContext> context() const;

private:
    State& state_;
    const char* function_;
    std::optional<Code> end_;
    std::unique_lock<std::recursive_mutex> held_;

public:
    // What follows may wait.
    void unlock() { held_.unlock(); }
};

void make_current(const std::shared_ptr<AclContext>& context);

// A key as ACL writes it: a string.
std::string text_of(const device::Key& key);
std::optional<device::Key> key_of(std::string_view text);

// An address as the machine knows it: what was mapped elsewhere lies there.
struct Located {
    std::byte* address = nullptr;
    std::optional<device::DeviceIndex> device;  // nothing: the host's
};
Located locate(const State& state, const void* address, std::uint64_t bytes);

}  // namespace tenon::support::acl
