// Memory of an Ascend device, and its sharing: within a server by the runtime's keys, within a supernode by fabric
// handles of physical memory.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "transports/device_link/ascend/context.hpp"

namespace tenon::ascend {

// How a key of this provider is laid out.
struct AscendKey {
    std::array<char, 8> kind{};
    os::ProcessToken process{};        // who shares it
    std::array<char, 128> shareable{};  // what the runtime gave: a string of 65, or a fabric handle
    std::uint64_t address = 0;         // in the process that shares it
    std::uint64_t offset = 0, bytes = 0, mapped_bytes = 0;  // of the range, within what is mapped as a whole
    device::DeviceIndex device = 0;    // as the process that shares it counts
    std::uint32_t is_fabric = 0;
};
static_assert(sizeof(AscendKey) == sizeof(device::Key::bytes));
device::Key key_of(const AscendKey& content);
// An error unless the key is of this provider and of this kind.
Result<AscendKey> content_of(const device::Key& key, std::string_view kind);
inline constexpr std::string_view memory_key = "aclMem", notify_key = "aclNtf";

// From aclrtMalloc; shared within the server.
class ServerMemory final : public device::Memory {
public:
    static Result<std::unique_ptr<device::Memory>> allocate(std::shared_ptr<Context> context, ByteCount bytes);
    ~ServerMemory() override;
    std::byte* data() const override { return static_cast<std::byte*>(address_); }
    ByteCount bytes() const override { return bytes_; }

private:
    ServerMemory(std::shared_ptr<Context> context, void* address, ByteCount bytes)
        : context_{std::move(context)}, address_{address}, bytes_{bytes} {}
    std::shared_ptr<Context> context_;
    void* address_;
    ByteCount bytes_;
};

// Physical memory at an address of this process: the device's own, or imported.
class MappedMemory {
public:
    // Takes the handle over, also where it fails.
    static Result<std::unique_ptr<MappedMemory>> map(std::shared_ptr<Context> context, abi::Handle physical,
                                                     std::uint64_t bytes, Place place);
    ~MappedMemory();
    MappedMemory(const MappedMemory&) = delete;
    MappedMemory& operator=(const MappedMemory&) = delete;
    std::byte* data() const { return static_cast<std::byte*>(address_); }

private:
    MappedMemory(std::shared_ptr<Context> context, abi::Handle physical)
        : context_{std::move(context)}, physical_{physical} {}
    std::shared_ptr<Context> context_;
    abi::Handle physical_;
    void* address_ = nullptr;
    bool is_mapped_ = false;
};

// Allocated so that it can be shared with the other servers of the supernode.
class SupernodeMemory final : public device::Memory {
public:
    static Result<std::unique_ptr<device::Memory>> allocate(std::shared_ptr<Context> context, ByteCount bytes);
    std::byte* data() const override { return mapped_->data(); }
    ByteCount bytes() const override { return bytes_; }

private:
    SupernodeMemory(std::unique_ptr<MappedMemory> mapped, ByteCount bytes)
        : mapped_{std::move(mapped)}, bytes_{bytes} {}
    std::unique_ptr<MappedMemory> mapped_;
    ByteCount bytes_;
};

class AscendShare final : public device::SharedMemory {
public:
    static Result<std::unique_ptr<device::SharedMemory>> share(std::shared_ptr<Context> context, void* address,
                                                               ByteCount bytes,
                                                               std::span<const device::ProcessNumber> importers);
    ~AscendShare() override;
    const device::Key& key() const override { return key_; }
    Result<void> close() override;

private:
    explicit AscendShare(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    Result<void> export_to_server(void* base, std::uint64_t bytes, std::span<const device::ProcessNumber> importers);
    Result<void> export_to_supernode(abi::Handle physical, std::span<const device::ProcessNumber> importers);

    std::shared_ptr<Context> context_;
    AscendKey content_;
    device::Key key_;
    bool is_open_ = false;  // a key that this process must close
};

// What a key names, in this process while it lives.
class OpenedMemory {
public:
    static Result<std::shared_ptr<OpenedMemory>> open(const std::shared_ptr<Context>& context, const AscendKey& key);
    ~OpenedMemory();
    OpenedMemory(const OpenedMemory&) = delete;
    OpenedMemory& operator=(const OpenedMemory&) = delete;
    std::byte* data() const { return data_; }

private:
    explicit OpenedMemory(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    Result<void> open_within_server(const AscendKey& key);
    Result<void> open_within_supernode(const AscendKey& key);

    std::shared_ptr<Context> context_;
    std::string key_;                       // to be closed; empty otherwise
    std::unique_ptr<MappedMemory> mapped_;  // of another server's
    std::byte* data_ = nullptr;
};

class AscendImport final : public device::ImportedMemory {
public:
    static Result<std::unique_ptr<device::ImportedMemory>> import(const std::shared_ptr<Context>& context,
                                                                  const device::Key& key);
    std::byte* data() const override { return data_; }
    ByteCount bytes() const override { return bytes_; }

private:
    std::shared_ptr<OpenedMemory> opened_;  // null: this process's own
    std::byte* data_ = nullptr;
    ByteCount bytes_{};
};

}  // namespace tenon::ascend
