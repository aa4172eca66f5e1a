// Streams, events and notifies of an Ascend device.
#pragma once

#include "transports/device_link/ascend/context.hpp"

namespace tenon::ascend {

class AscendNotify final : public device::Notify {
public:
    static Result<std::unique_ptr<device::Notify>> create(std::shared_ptr<Context> context);
    static Result<std::unique_ptr<device::Notify>> import(std::shared_ptr<Context> context, const device::Key& key);
    ~AscendNotify() override;
    Result<device::Key> share(std::span<const device::ProcessNumber> importers) override;
    abi::Handle handle() const { return notify_; }
    bool is_of(const Context& context) const { return !is_imported_ && context_.get() == &context; }

private:
    AscendNotify(std::shared_ptr<Context> context, bool is_imported)
        : context_{std::move(context)}, is_imported_{is_imported} {}
    std::shared_ptr<Context> context_;
    bool is_imported_;
    abi::Handle notify_ = nullptr;
};

class AscendEvent final : public device::Event {
public:
    static Result<std::unique_ptr<device::Event>> create(std::shared_ptr<Context> context);
    ~AscendEvent() override;
    Result<bool> reached() const override;
    Result<std::uint64_t> ns_since(const device::Event& earlier) const override;

private:
    friend class AscendStream;
    explicit AscendEvent(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    std::shared_ptr<Context> context_;
    abi::Handle event_ = nullptr;
    bool is_recorded_ = false;
};

class AscendStream final : public device::Stream {
public:
    static Result<std::unique_ptr<device::Stream>> create(std::shared_ptr<Context> context);
    static Result<std::unique_ptr<device::Stream>> adopt(std::shared_ptr<Context> context, abi::Handle native);
    ~AscendStream() override;

    Result<void> copy(void* destination, const void* source, ByteCount bytes) override;
    Result<void> reduce(void* destination, const void* source, ElementCount elements, DataType type,
                        ReduceOp op) override;
    Result<void> record(device::Event& event) override;
    Result<void> wait(const device::Event& event) override;
    Result<void> record(device::Notify& notify) override;
    Result<void> wait(device::Notify& notify) override;
    Result<bool> idle() override;
    Result<void> synchronize(std::uint64_t timeout_ms) override;
    Result<void> abandon(std::uint64_t timeout_ms) override;

private:
    explicit AscendStream(std::shared_ptr<Context> context) : context_{std::move(context)} {}
    // The stream's error, or the runtime's.
    Result<void> begin() const;
    Result<void> done(abi::Code code, const char* call);
    Result<abi::MemcpyKind> kind_of(const void* destination, const void* source) const;

    std::shared_ptr<Context> context_;
    // Otherwise a signal would follow a copy that failed.
    Result<void> stop_on_failure();
    abi::Handle stream_ = nullptr;
    bool is_adopted_ = false;
    std::optional<Error> error_;
};

// What aclrtReduceAsync does, on devices of all kinds that are supported.
bool has_reduction(DataType type, ReduceOp op);

}  // namespace tenon::ascend
