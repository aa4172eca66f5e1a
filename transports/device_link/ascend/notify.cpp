#include <fmt/format.h>

#include "transports/device_link/ascend/sharing.hpp"
#include "transports/device_link/ascend/stream.hpp"

namespace tenon::ascend {

Result<std::unique_ptr<device::Notify>> AscendNotify::create(std::shared_ptr<Context> context) {
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<AscendNotify> made{new AscendNotify{std::move(context), false}};
    Context& of = *made->context_;
    const abi::Code code = of.acl().create_notify(&made->notify_, 0);
    if (code == abi::success) return made;
    made->notify_ = nullptr;
    return std::unexpected(of.problem(code, "aclrtCreateNotify",
                                      code == abi::no_notify ? " (a device has 8192, 65535 on the 950 series)" : ""));
}

// Also within the process that shares it, whose streams on other devices record it through a handle of their own.
Result<std::unique_ptr<device::Notify>> AscendNotify::import(std::shared_ptr<Context> context, const device::Key& key) {
    const auto content = content_of(key, notify_key);
    if (!content) return std::unexpected(content.error());
    if (content->shareable[abi::key_length - 1] != '\0')
        return fail(Status::invalid_argument, "this key of a notify has no end: import keys as they came");
    if (auto entered = context->enter(); !entered) return std::unexpected(entered.error());
    std::unique_ptr<AscendNotify> made{new AscendNotify{std::move(context), true}};
    Context& of = *made->context_;
    const abi::Code code = of.acl().notify_import_by_key(&made->notify_, content->shareable.data(),
                                                         abi::notify_import_enables_peer);
    if (code == abi::success) return made;
    made->notify_ = nullptr;
    return std::unexpected(
        of.problem(code, "aclrtNotifyImportByKey",
                   "; the exporter must live, and name this process among the importers, or nobody"));
}

AscendNotify::~AscendNotify() {
    if (notify_ != nullptr && context_->enter()) context_->acl().destroy_notify(notify_);
}

Result<device::Key> AscendNotify::share(std::span<const device::ProcessNumber> importers) {
    if (is_imported_)
        return fail(Status::invalid_usage, fmt::format("this notify is imported by Ascend device {}: the process that "
                                                       "created it shares it",
                                                       context_->index()));
    if (auto entered = context_->enter(); !entered) return std::unexpected(entered.error());
    AscendKey content{.process = context_->self(), .device = context_->index()};
    notify_key.copy(content.kind.data(), content.kind.size());
    const AclLibrary& acl = context_->acl();
    const std::uint64_t flags = importers.empty() ? abi::notify_export_to_all : 0;
    if (auto r = context_->check(
            acl.notify_get_export_key(notify_, content.shareable.data(), abi::key_length, flags),
            "aclrtNotifyGetExportKey");
        !r)
        return std::unexpected(r.error());
    if (!importers.empty()) {
        std::vector<std::int32_t> processes{importers.begin(), importers.end()};
        if (auto r = context_->check(acl.notify_set_import_pid(notify_, processes.data(), processes.size()),
                                     "aclrtNotifySetImportPid");
            !r)
            return std::unexpected(r.error());
    }
    return key_of(content);
}

}  // namespace tenon::ascend
