// Keys of the provider `ascend`, and what they open.
#include "transports/device_link/ascend/sharing.hpp"

#include <fmt/format.h>

#include <cstring>

namespace tenon::ascend {
namespace {

constexpr const char* same_server =
    "; both processes must be on one server (memory that is shared further is allocated "
    "with Reach::supernode), and the exporter must name this one, or nobody";
constexpr const char* same_supernode = "; both servers must be of one supernode, and the exporter must name this "
                                       "process, or nobody";

std::uint64_t page_bytes_at(const Context& context, const void* address) {
    constexpr std::uint64_t normal_page_bytes = 4096;
    abi::PointerAttributes attributes;
    if (context.acl().pointer_get_attributes(address, &attributes) != abi::success) return normal_page_bytes;
    return std::max<std::uint64_t>(attributes.page_bytes, normal_page_bytes);
}

}  // namespace

device::Key key_of(const AscendKey& content) {
    device::Key key;
    std::memcpy(key.bytes.data(), &content, sizeof content);
    return key;
}

Result<AscendKey> content_of(const device::Key& key, std::string_view kind) {
    AscendKey content;
    std::memcpy(&content, key.bytes.data(), sizeof content);
    const std::string_view found{content.kind.data(), strnlen(content.kind.data(), content.kind.size())};
    if (found != kind || content.offset > content.mapped_bytes ||
        content.bytes > content.mapped_bytes - content.offset)
        return fail(Status::invalid_argument,
                    "this key is of another provider, or of memory where one of a notify is wanted or the reverse: "
                    "import keys as they came");
    return content;
}

Result<std::unique_ptr<device::SharedMemory>> AscendShare::share(std::shared_ptr<Context> context, void* address,
                                                                 ByteCount bytes,
                                                                 std::span<const device::ProcessNumber> importers) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    if (auto own = context->expect_own_memory(address, bytes.value, "what is to be shared"); !own)
        return std::unexpected(own.error());
    std::unique_ptr<AscendShare> made{new AscendShare{std::move(context)}};
    AscendKey& content = made->content_;
    memory_key.copy(content.kind.data(), content.kind.size());
    content.process = made->context_->self();
    content.device = made->context_->index();
    content.address = reinterpret_cast<std::uint64_t>(address);
    content.bytes = bytes.value;
    const auto block = made->context_->block_of(address);
    Result<void> exported;
    if (block && block->physical != nullptr) {
        content.offset = static_cast<std::uint64_t>(static_cast<std::byte*>(address) - block->begin);
        content.mapped_bytes = block->bytes;
        exported = made->export_to_supernode(block->physical, importers);
    } else {
        // The runtime shares whole pages.
        const std::uint64_t page = page_bytes_at(*made->context_, address);
        content.offset = content.address % page;
        content.mapped_bytes = (content.offset + std::max<std::uint64_t>(bytes.value, 1) + page - 1) / page * page;
        exported = made->export_to_server(reinterpret_cast<void*>(content.address - content.offset),
                                          content.mapped_bytes, importers);
    }
    if (!exported) return std::unexpected(exported.error());
    made->key_ = key_of(content);
    return made;
}

Result<void> AscendShare::export_to_server(void* base, std::uint64_t bytes,
                                           std::span<const device::ProcessNumber> importers) {
    const AclLibrary& acl = context_->acl();
    const std::uint64_t flags = importers.empty() ? abi::memory_export_to_all : 0;
    char* const key = content_.shareable.data();
    if (auto r = context_->check(acl.ipc_mem_get_export_key(base, bytes, key, abi::key_length, flags),
                                 "aclrtIpcMemGetExportKey", "; memory of aclrtMalloc can be shared, by whole pages");
        !r)
        return r;
    is_open_ = true;
    if (importers.empty()) return {};
    std::vector<std::int32_t> processes{importers.begin(), importers.end()};
    return context_->check(acl.ipc_mem_set_import_pid(key, processes.data(), processes.size()),
                           "aclrtIpcMemSetImportPid");
}

Result<void> AscendShare::export_to_supernode(abi::Handle physical, std::span<const device::ProcessNumber> importers) {
    const AclLibrary& acl = context_->acl();
    abi::FabricHandle handle;
    const std::uint64_t flags = importers.empty() ? abi::physical_export_to_all : 0;
    if (auto r = context_->check(acl.mem_export(physical, flags, abi::SharedHandleType::fabric, &handle),
                                 "aclrtMemExportToShareableHandleV2", "; the device must be of a supernode");
        !r)
        return r;
    content_.is_fabric = 1;
    std::memcpy(content_.shareable.data(), &handle, sizeof handle);
    if (importers.empty()) return {};
    std::vector<std::int32_t> processes{importers.begin(), importers.end()};
    return context_->check(
        acl.mem_set_pid(&handle, abi::SharedHandleType::fabric, processes.data(), processes.size()),
        "aclrtMemSetPidToShareableHandleV2");
}

AscendShare::~AscendShare() { [[maybe_unused]] const auto closed = close(); }

Result<void> AscendShare::close() {
    if (!is_open_) return {};
    if (auto entered = context_->enter(); !entered) return entered;
    const abi::Code code = context_->acl().ipc_mem_close(content_.shareable.data());
    if (code != abi::success)
        return std::unexpected(Error{
            Status::invalid_usage,
            context_->problem(code, "aclrtIpcMemClose", "; importers close before the exporter does").message});
    is_open_ = false;
    return {};
}

Result<std::shared_ptr<OpenedMemory>> OpenedMemory::open(const std::shared_ptr<Context>& context,
                                                         const AscendKey& key) {
    const std::string name{key.shareable.data(), key.shareable.size()};
    if (auto known = context->opened(name)) return known;
    std::shared_ptr<OpenedMemory> made{new OpenedMemory{context}};
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    const auto opened = key.is_fabric != 0 ? made->open_within_supernode(key) : made->open_within_server(key);
    if (!opened) return std::unexpected(opened.error());
    context->remember_opened(name, made);
    return made;
}

Result<void> OpenedMemory::open_within_server(const AscendKey& key) {
    void* address = nullptr;
    if (key.shareable[abi::key_length - 1] != '\0')
        return fail(Status::invalid_argument, "this key of memory has no end: import keys as they came");
    if (auto r = context_->check(context_->acl().ipc_mem_import_by_key(&address, key.shareable.data(),
                                                                       abi::memory_import_enables_peer),
                                 "aclrtIpcMemImportByKey", same_server);
        !r)
        return r;
    key_ = key.shareable.data();
    data_ = static_cast<std::byte*>(address);
    context_->remember(address, key.mapped_bytes, Place::peer);
    return {};
}

Result<void> OpenedMemory::open_within_supernode(const AscendKey& key) {
    const AclLibrary& acl = context_->acl();
    abi::FabricHandle handle;
    std::memcpy(&handle, key.shareable.data(), sizeof handle);
    abi::Handle physical = nullptr;
    if (auto r = context_->check(acl.mem_import(&handle, abi::SharedHandleType::fabric, 0, &physical),
                                 "aclrtMemImportFromShareableHandleV2", same_supernode);
        !r)
        return r;
    auto mapped = MappedMemory::map(context_, physical, key.mapped_bytes, Place::peer);
    if (!mapped) return std::unexpected(mapped.error());
    mapped_ = std::move(*mapped);
    data_ = mapped_->data();
    return {};
}

OpenedMemory::~OpenedMemory() {
    if (key_.empty()) return;
    context_->forget(data_);
    if (context_->enter()) context_->acl().ipc_mem_close(key_.c_str());
}

Result<std::unique_ptr<device::ImportedMemory>> AscendImport::import(const std::shared_ptr<Context>& context,
                                                                     const device::Key& key) {
    const auto content = content_of(key, memory_key);
    if (!content) return std::unexpected(content.error());
    auto made = std::make_unique<AscendImport>();
    made->bytes_ = {content->bytes};
    if (content->process == context->self()) {
        // The runtime shares between processes only.
        if (auto reached = context->enable_peer(content->device); !reached) return std::unexpected(reached.error());
        made->data_ = reinterpret_cast<std::byte*>(content->address);
        return made;
    }
    auto opened = OpenedMemory::open(context, *content);
    if (!opened) return std::unexpected(opened.error());
    made->opened_ = std::move(*opened);
    made->data_ = made->opened_->data() + content->offset;
    return made;
}

}  // namespace tenon::ascend
