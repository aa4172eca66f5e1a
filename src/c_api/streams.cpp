// Streams and events.
#include <fmt/format.h>

#include "c_api/handles.hpp"

using namespace tenon;
using namespace tenon::c_api;

namespace {

bool is_good(tenonStream_t stream) { return stream != nullptr && stream->state == alive; }
bool is_good(tenonEvent_t event) { return event != nullptr && event->state == alive; }
tenonResult_t refuse(const char* function, const char* what) {
    return report(Status::invalid_argument, fmt::format("{}: {}", function, what));
}
constexpr const char* no_stream = "not a stream that tenonStreamCreate made";
constexpr const char* no_event = "not an event that tenonEventCreate made";

Result<void> synchronize(tenonStream& stream) {
    return stream.host != nullptr ? stream.host->synchronize() : stream.device->synchronize();
}

tenonResult_t result_of(const Result<void>& result) { return result ? tenonSuccess : report(result.error()); }

}  // namespace

tenonResult_t tenonStreamCreate(tenonStream_t* stream) {
    if (stream == nullptr) return refuse(__func__, "stream is NULL");
    return guarded(nullptr, [&]() -> tenonResult_t {
        *stream = new tenonStream{.host = std::make_unique<HostStream>(), .device = {}};
        return tenonSuccess;
    });
}

tenonResult_t tenonStreamDestroy(tenonStream_t stream) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    return guarded(nullptr, [&]() -> tenonResult_t {
        const Result<void> last = synchronize(*stream);
        stream->state = dead;
        delete stream;
        return result_of(last);
    });
}

tenonResult_t tenonStreamSynchronize(tenonStream_t stream) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    return guarded(nullptr, [&] { return result_of(synchronize(*stream)); });
}

tenonResult_t tenonStreamQuery(tenonStream_t stream) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    if (stream->host != nullptr) return stream->host->idle() ? result_of(stream->host->take_error()) : tenonInProgress;
    return guarded(nullptr, [&]() -> tenonResult_t {
        const Result<bool> idle = stream->device->idle();
        if (!idle) return report(idle.error());
        return *idle ? result_of(stream->device->synchronize()) : tenonInProgress;
    });
}

tenonResult_t tenonStreamWaitEvent(tenonStream_t stream, tenonEvent_t event) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    if (!is_good(event)) return refuse(__func__, no_event);
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto point = event->event.point();
        if (point == nullptr) return tenonSuccess;
        if (stream->device != nullptr) return result_of(stream->device->wait_for(*point));
        stream->host->wait_for(std::move(point));
        return tenonSuccess;
    });
}

tenonResult_t tenonStreamGetKind(tenonStream_t stream, tenonStreamKind_t* kind) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    if (kind == nullptr) return refuse(__func__, "kind is NULL");
    *kind = stream->device != nullptr ? tenonStreamDevice : tenonStreamHost;
    return tenonSuccess;
}

tenonResult_t tenonEventCreate(tenonEvent_t* event) {
    if (event == nullptr) return refuse(__func__, "event is NULL");
    return guarded(nullptr, [&]() -> tenonResult_t {
        *event = new tenonEvent;
        return tenonSuccess;
    });
}

tenonResult_t tenonEventDestroy(tenonEvent_t event) {
    if (!is_good(event)) return refuse(__func__, no_event);
    event->state = dead;
    delete event;
    return tenonSuccess;
}

tenonResult_t tenonEventRecord(tenonEvent_t event, tenonStream_t stream) {
    if (!is_good(event)) return refuse(__func__, no_event);
    if (!is_good(stream)) return refuse(__func__, no_stream);
    return guarded(nullptr, [&]() -> tenonResult_t {
        const auto point = stream->device != nullptr ? stream->device->mark()
                                                     : Result<std::shared_ptr<const Point>>{stream->host->mark()};
        if (!point) return report(point.error());
        event->event.record(*point);
        return tenonSuccess;
    });
}

tenonResult_t tenonEventSynchronize(tenonEvent_t event) {
    if (!is_good(event)) return refuse(__func__, no_event);
    return guarded(nullptr, [&] {
        const auto point = event->event.point();
        return point == nullptr ? tenonSuccess : result_of(point->wait());
    });
}

tenonResult_t tenonEventQuery(tenonEvent_t event) {
    if (!is_good(event)) return refuse(__func__, no_event);
    return guarded(nullptr, [&]() -> tenonResult_t {
        const auto point = event->event.point();
        if (point == nullptr) return tenonSuccess;
        const auto reached = point->reached();
        if (!reached) return report(reached.error());
        return *reached ? tenonSuccess : tenonInProgress;
    });
}
