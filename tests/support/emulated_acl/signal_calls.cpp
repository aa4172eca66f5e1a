// Events and notifies.
#include <fmt/format.h>

#include <cstring>

#include "os/process.hpp"
#include "tests/support/emulated_acl/stream_call.hpp"

using namespace tenon;
using namespace tenon::support::acl;

Code aclrtCreateEventExWithFlag(Handle* event, std::uint32_t flags) {
    const Call call{"aclrtCreateEventExWithFlag"};
    if (call.end()) return *call.end();
    if (call.context() == nullptr) return abi::no_context;
    if (flags != (abi::event_synchronizes | abi::event_keeps_time))
        return call.misuse(abi::invalid_parameter, "the emulated events synchronize and keep time");
    *event = call.state().events.add(std::make_shared<AclEvent>());
    return abi::success;
}

Code aclrtDestroyEvent(Handle event) {
    const Call call{"aclrtDestroyEvent"};
    if (call.end()) return *call.end();
    if (call.state().events.take(event) == nullptr)
        return call.misuse(abi::invalid_handle, "this is no event (any more)");
    return abi::success;
}

Code aclrtRecordEvent(Handle event, Handle stream) {
    const StreamCall call{"aclrtRecordEvent", stream};
    if (call.code() != abi::success) return call.code();
    const auto object = call.state().events.find(event);
    if (object == nullptr) return call.misuse(abi::invalid_handle, "this is no event (any more)");
    object->is_recorded = true;
    return call.code_of(call.stream().stream->record(object->event));
}

Code aclrtStreamWaitEvent(Handle stream, Handle event) {
    const StreamCall call{"aclrtStreamWaitEvent", stream};
    if (call.code() != abi::success) return call.code();
    const auto object = call.state().events.find(event);
    if (object == nullptr) return call.misuse(abi::invalid_handle, "this is no event (any more)");
    return call.code_of(call.stream().stream->wait(object->event));
}

Code aclrtQueryEventStatus(Handle event, abi::EventStatus* status) {
    const Call call{"aclrtQueryEventStatus"};
    if (call.end()) return *call.end();
    const auto object = call.state().events.find(event);
    if (object == nullptr) return call.misuse(abi::invalid_handle, "this is no event (any more)");
    *status = *object->event.reached() ? abi::EventStatus::complete : abi::EventStatus::not_ready;
    return abi::success;
}

Code aclrtEventElapsedTime(float* milliseconds, Handle from, Handle to) {
    const Call call{"aclrtEventElapsedTime"};
    if (call.end()) return *call.end();
    const auto earlier = call.state().events.find(from), later = call.state().events.find(to);
    if (earlier == nullptr || later == nullptr)
        return call.misuse(abi::invalid_handle, "this is no event (any more)");
    const auto ns = later->event.ns_since(earlier->event);
    if (!ns) return abi::timestamp_invalid;  // not reached yet
    constexpr float ns_per_ms = 1e6F;
    *milliseconds = static_cast<float>(*ns) / ns_per_ms;
    return abi::success;
}

Code aclrtCreateNotify(Handle* notify, std::uint64_t flags) {
    const Call call{"aclrtCreateNotify"};
    if (call.end()) return *call.end();
    const auto context = call.context();
    if (context == nullptr) return abi::no_context;
    if (flags != 0) return call.misuse(abi::invalid_parameter, "notifies have no flags");
    auto made = emulated::EmulatedNotify::create(context->device);
    if (!made) return abi::no_notify;
    auto object = std::make_shared<AclNotify>();
    object->notify = std::move(*made);
    *notify = call.state().notifies.add(std::move(object));
    return abi::success;
}

Code aclrtDestroyNotify(Handle notify) {
    const Call call{"aclrtDestroyNotify"};
    if (call.end()) return *call.end();
    if (call.context() == nullptr) return abi::no_context;
    if (call.state().notifies.take(notify) == nullptr)
        return call.misuse(abi::invalid_handle, "this is no notify (any more)");
    return abi::success;
}

Code aclrtRecordNotify(Handle notify, Handle stream) {
    const StreamCall call{"aclrtRecordNotify", stream};
    if (call.code() != abi::success) return call.code();
    const auto object = call.state().notifies.find(notify);
    if (object == nullptr) return call.misuse(abi::invalid_handle, "this is no notify (any more)");
    return call.code_of(call.stream().stream->record(*object->notify));
}

Code aclrtWaitAndResetNotify(Handle notify, Handle stream, std::uint32_t seconds) {
    const StreamCall call{"aclrtWaitAndResetNotify", stream};
    if (call.code() != abi::success) return call.code();
    const auto object = call.state().notifies.find(notify);
    if (object == nullptr) return call.misuse(abi::invalid_handle, "this is no notify (any more)");
    if (seconds != 0) return call.misuse(abi::feature_unsupported, "the emulated streams wait for ever");
    return call.code_of(call.stream().stream->wait(*object->notify));
}

Code aclrtNotifyGetExportKey(Handle notify, char* key, std::size_t length, std::uint64_t flags) {
    const Call call{"aclrtNotifyGetExportKey"};
    if (call.end()) return *call.end();
    const auto object = call.state().notifies.find(notify);
    if (object == nullptr) return call.misuse(abi::invalid_handle, "this is no notify (any more)");
    if (length != abi::key_length || (flags & ~abi::notify_export_to_all) != 0)
        return call.misuse(abi::invalid_parameter, "keys have 65 bytes, and there is one flag");
    if (object->key.empty()) {
        const device::ProcessNumber self = os::process_id();
        const std::span<const device::ProcessNumber> nobody_else{&self, 1};
        const auto shared =
            object->notify->share(flags == abi::notify_export_to_all ? decltype(nobody_else){} : nobody_else);
        if (!shared) return call.code_of(shared.error());
        object->key = text_of(*shared);
    }
    std::memset(key, 0, length);
    object->key.copy(key, length - 1);
    return abi::success;
}

Code aclrtNotifySetImportPid(Handle notify, std::int32_t* processes, std::size_t count) {
    const Call call{"aclrtNotifySetImportPid"};
    if (call.end()) return *call.end();
    const auto object = call.state().notifies.find(notify);
    if (object == nullptr || object->key.empty())
        return call.misuse(abi::invalid_handle, "this is no notify that was exported");
    const auto allowed = call.state().machine->allow(*key_of(object->key), {processes, count});
    return allowed ? abi::success : call.code_of(allowed.error());
}

Code aclrtNotifyImportByKey(Handle* notify, const char* key, std::uint64_t flags) {
    const Call call{"aclrtNotifyImportByKey"};
    if (call.end()) return *call.end();
    const auto context = call.context();
    if (context == nullptr) return abi::no_context;
    const auto known = key_of(key);
    if (!known || (flags & ~abi::notify_import_enables_peer) != 0)
        return call.misuse(abi::invalid_parameter, "this is no key, or there is a flag that means nothing");
    auto imported = emulated::EmulatedNotify::import(context->device, *known);
    if (!imported) return abi::driver_error;  // not meant for this process, or gone: not its own fault
    auto object = std::make_shared<AclNotify>();
    object->notify = std::move(*imported);
    *notify = call.state().notifies.add(std::move(object));
    return abi::success;
}
