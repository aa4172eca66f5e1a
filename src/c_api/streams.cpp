// Streams and events of the host.
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

}  // namespace

tenonResult_t tenonStreamCreate(tenonStream_t* stream) {
    if (stream == nullptr) return refuse(__func__, "stream is NULL");
    return guarded(nullptr, [&]() -> tenonResult_t {
        *stream = new tenonStream;
        return tenonSuccess;
    });
}

tenonResult_t tenonStreamDestroy(tenonStream_t stream) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    return guarded(nullptr, [&]() -> tenonResult_t {
        const Result<void> last = stream->stream.synchronize();
        stream->state = dead;
        delete stream;
        return last ? tenonSuccess : report(last.error());
    });
}

tenonResult_t tenonStreamSynchronize(tenonStream_t stream) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    return guarded(nullptr, [&]() -> tenonResult_t {
        const Result<void> result = stream->stream.synchronize();
        return result ? tenonSuccess : report(result.error());
    });
}

tenonResult_t tenonStreamQuery(tenonStream_t stream) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    if (!stream->stream.idle()) return tenonInProgress;
    const Result<void> result = stream->stream.take_error();
    return result ? tenonSuccess : report(result.error());
}

tenonResult_t tenonStreamWaitEvent(tenonStream_t stream, tenonEvent_t event) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    if (!is_good(event)) return refuse(__func__, no_event);
    return guarded(nullptr, [&]() -> tenonResult_t {
        if (auto point = event->event.point()) stream->stream.wait_for(std::move(point));
        return tenonSuccess;
    });
}

tenonResult_t tenonStreamGetKind(tenonStream_t stream, tenonStreamKind_t* kind) {
    if (!is_good(stream)) return refuse(__func__, no_stream);
    if (kind == nullptr) return refuse(__func__, "kind is NULL");
    *kind = tenonStreamHost;
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
        event->event.record(stream->stream);
        return tenonSuccess;
    });
}

tenonResult_t tenonEventSynchronize(tenonEvent_t event) {
    if (!is_good(event)) return refuse(__func__, no_event);
    if (const auto point = event->event.point()) point->wait();
    return tenonSuccess;
}

tenonResult_t tenonEventQuery(tenonEvent_t event) {
    if (!is_good(event)) return refuse(__func__, no_event);
    const auto point = event->event.point();
    return point == nullptr || point->reached() ? tenonSuccess : tenonInProgress;
}
