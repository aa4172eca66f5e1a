// What all objects of one opened Ascend device share: the library, the device's context, and which addresses are what.
//
// Thread-safe. Objects of a device keep it alive; the device is given back with the last of them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "os/process.hpp"
#include "tenon/plugin/device.hpp"
#include "transports/device_link/ascend/acl_library.hpp"

namespace tenon::ascend {

// Whose memory an address is, as copies and reductions want to know it.
enum class Place : std::uint8_t { host, own, peer };  // peer: another device's, also what was imported

class OpenedMemory;

class Context {
public:
    static Result<std::shared_ptr<Context>> open(std::shared_ptr<const AclLibrary> acl, device::DeviceIndex index,
                                                 os::ProcessToken self);
    ~Context();
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    const AclLibrary& acl() const { return *acl_; }
    device::DeviceIndex index() const { return index_; }
    const os::ProcessToken& self() const { return self_; }

    // Makes the device the calling thread's; every use of the runtime begins so.
    Result<void> enter() const;
    // What a call gave, in words that name the call and this device.
    Result<void> check(abi::Code code, const char* call, const char* advice = "") const;
    Error problem(abi::Code code, const char* call, const char* advice = "") const;

    // To be called after enter(). The runtime is asked only of what is not known here.
    Result<device::Location> locate(const void* address) const;
    Result<Place> place_of(const void* address) const;
    // An error where these bytes are not memory of this device.
    Result<void> expect_own_memory(const void* address, std::uint64_t bytes, const char* what) const;

    // What lies at these addresses, until it is forgotten. `physical`: the handle of what may leave the server.
    void remember(const void* address, std::uint64_t bytes, Place place, abi::Handle physical = nullptr);
    void forget(const void* address);
    struct Block {
        const std::byte* begin = nullptr;
        std::uint64_t bytes = 0;
        Place place = Place::host;
        abi::Handle physical = nullptr;
    };
    // The one that holds the address; nothing of memory that others allocated.
    std::optional<Block> block_of(const void* address) const;

    Result<void> enable_peer(device::DeviceIndex peer);

    // What was imported under this key and still lives: a process imports a key once.
    std::shared_ptr<OpenedMemory> opened(const std::string& key) const;
    void remember_opened(const std::string& key, const std::shared_ptr<OpenedMemory>& memory);

private:
    Context(std::shared_ptr<const AclLibrary> acl, device::DeviceIndex index, os::ProcessToken self)
        : acl_{std::move(acl)}, index_{index}, self_{self} {}

    std::shared_ptr<const AclLibrary> acl_;
    device::DeviceIndex index_;
    os::ProcessToken self_;
    abi::Handle context_ = nullptr;
    mutable std::mutex mutex_;  // over the rest
    std::map<const std::byte*, Block> blocks_;  // by their beginning
    std::set<device::DeviceIndex> peers_;
    std::map<std::string, std::weak_ptr<OpenedMemory>> opened_;
};

}  // namespace tenon::ascend
