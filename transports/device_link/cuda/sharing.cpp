// Keys of the provider `cuda`, what they open, and notifies, which are words that keys name.
#include <fmt/format.h>

#include <cstring>

#include "transports/device_link/cuda/stream.hpp"

namespace tenon::cuda {

device::Key key_of(const CudaKey& content) {
    static_assert(sizeof content <= sizeof(device::Key::bytes));
    device::Key key;
    std::memcpy(key.bytes.data(), &content, sizeof content);
    return key;
}

Result<CudaKey> content_of(const device::Key& key, std::string_view kind) {
    CudaKey content;
    std::memcpy(&content, key.bytes.data(), sizeof content);
    const std::string_view found{content.kind.data(), strnlen(content.kind.data(), content.kind.size())};
    if (found != kind)
        return fail(Status::invalid_argument,
                    "this key is of another provider, or of memory where one of a notify is "
                    "wanted or the reverse: import keys as they came");
    return content;
}

Result<CudaKey> describe(const Context& context, Address address, std::uint64_t bytes, std::string_view kind) {
    CudaApi& api = context.api();
    CudaKey made{
        .process_high = context.self().high, .process_low = context.self().low, .address = address, .bytes = bytes};
    kind.copy(made.kind.data(), made.kind.size());
    context.bus_id().copy(made.bus_id.data(), made.bus_id.size() - 1);
    Address base = 0;
    std::size_t block_bytes = 0;
    if (auto r = context.check(api.allocation_of(&base, &block_bytes, address), "cuMemGetAddressRange",
                               "; only memory of the device is shared");
        !r)
        return std::unexpected(Error{Status::invalid_argument, r.error().message});
    made.offset = address - base;
    if (bytes > block_bytes - made.offset)
        return fail(Status::invalid_argument,
                    fmt::format("GPU {}: {} bytes are to be shared, but only {} of them are of one "
                                "allocation: share each by itself",
                                context.index(), bytes, block_bytes - made.offset));
    if (auto r = context.check(api.ipc_handle(&made.handle, base), "cuIpcGetMemHandle",
                               "; memory of cuMemAlloc (cudaMalloc) can be shared, not of pools or managed memory");
        !r)
        return std::unexpected(r.error());
    return made;
}

Result<std::unique_ptr<OpenedKey>> OpenedKey::open(std::shared_ptr<Context> context, const CudaKey& key) {
    std::unique_ptr<OpenedKey> opened{new OpenedKey{std::move(context)}};
    Context& of = *opened->context_;
    if (key.process_high == of.self().high && key.process_low == of.self().low) {
        opened->address_ = key.address;
        return opened;
    }
    if (auto entered = of.enter(); !entered) return std::unexpected(entered.error());
    if (auto r = of.check(of.api().open_ipc_handle(&opened->mapped_, key.handle, ipc_enables_peer_access),
                          "cuIpcOpenMemHandle", "; both processes must see the GPU and share its IPC namespace");
        !r) {
        opened->mapped_ = 0;
        return std::unexpected(r.error());
    }
    opened->address_ = opened->mapped_ + key.offset;
    return opened;
}

OpenedKey::~OpenedKey() {
    if (mapped_ != 0 && context_->enter()) context_->api().close_ipc_handle(mapped_);
}

Result<std::unique_ptr<device::Notify>> CudaNotify::create(std::shared_ptr<Context> context) {
    const auto number = context->take_notify();
    if (!number) return std::unexpected(number.error());
    std::unique_ptr<CudaNotify> made{new CudaNotify{std::move(context)}};
    made->number_ = *number;
    made->address_ = made->context_->notify_pool() + *number * notify_bytes;
    return made;
}

Result<std::unique_ptr<device::Notify>> CudaNotify::import(std::shared_ptr<Context> context, const device::Key& key) {
    const auto content = content_of(key, notify_key);
    if (!content) return std::unexpected(content.error());
    std::unique_ptr<CudaNotify> made{new CudaNotify{std::move(context)}};
    auto opened = OpenedKey::open(made->context_, *content);
    if (!opened) return std::unexpected(opened.error());
    made->opened_ = std::move(*opened);
    made->address_ = made->opened_->address();
    return made;
}

CudaNotify::~CudaNotify() {
    if (opened_ == nullptr) context_->give_back_notify(number_);
}

Result<device::Key> CudaNotify::share(std::span<const device::ProcessNumber>) {
    if (opened_ != nullptr)
        return fail(Status::invalid_usage, fmt::format("this notify is imported by GPU {}: the process that created it "
                                                       "shares it",
                                                       context_->index()));
    const auto described = describe(*context_, address_, sizeof(std::uint32_t), notify_key);
    if (!described) return std::unexpected(described.error());
    return key_of(*described);
}

}  // namespace tenon::cuda
