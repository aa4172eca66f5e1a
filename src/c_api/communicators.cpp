// Making, splitting, ending and asking communicators.
#include <fmt/format.h>

#include <cstring>

#include "base/log.hpp"
#include "bootstrap/launch.hpp"
#include "bootstrap/pmix.hpp"
#include "c_api/handles.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"

using namespace tenon;
using namespace tenon::c_api;

namespace {

constexpr std::uint64_t abort_waits_ms = 5000;

static_assert(sizeof(tenonUniqueId) == sizeof(UniqueId));

tenonResult_t null_argument(const char* function, const char* argument) {
    return report(Status::invalid_argument, fmt::format("{}: {} is NULL", function, argument));
}
tenonResult_t null_argument(tenonComm* comm, const char* function, const char* argument) {
    return refuse(comm, function, fmt::format("{} is NULL", argument));
}

// Waits until no thread is inside a call of this communicator; false when the time is over.
bool wait_until_nobody_is_inside(const tenonComm& comm) {
    os::fence_all_threads();
    const os::Deadline deadline = os::Deadline::after_ms(abort_waits_ms);
    while (comm.in_call.load(std::memory_order_acquire) || comm.communicator->has_work()) {
        if (deadline.passed()) return false;
        os::sleep_ms(1);
    }
    return true;
}

bool rank_zero_can_say_where_it_is(const Launch& launch) {
    if (!launch.has_pmix) return false;
    const auto found = bootstrap::find_pmix();
    if (!found) log(LogLevel::warning, "ranks of other hosts cannot join those of this one: {}", found.error().message);
    return found.has_value();
}

// The program names the job; what started it may know where the job's hosts meet. Where nothing says that, the job is
// on one host.
Result<UniqueId> id_for_job(const char* job, const Config& config) {
    const auto found = find_launch(process_environment(), job);
    if (!found) return std::unexpected(found.error());
    Launch launch = found->value_or(Launch{.job = job});
    if (!launch.is_one_host && launch.first_host.empty() && config.rendezvous.empty())
        launch.is_one_host = !rank_zero_can_say_where_it_is(launch);
    return unique_id_for_launch(launch, config);
}

}  // namespace

tenonResult_t tenonGetUniqueId(tenonUniqueId* uniqueId) {
    if (uniqueId == nullptr) return null_argument(__func__, "uniqueId");
    return guarded(nullptr, [&]() -> tenonResult_t {
        const auto config = configuration(nullptr);
        if (!config) return report(config.error());
        auto id = create_unique_id(network_settings(*config));
        if (!id) return report(id.error());
        std::memcpy(uniqueId->internal, id->bytes.data(), sizeof uniqueId->internal);
        return tenonSuccess;
    });
}

tenonResult_t tenonGetUniqueIdForJob(const char* job, tenonUniqueId* uniqueId) {
    if (job == nullptr) return null_argument(__func__, "job");
    if (uniqueId == nullptr) return null_argument(__func__, "uniqueId");
    const std::size_t length = std::strlen(job);
    if (length == 0 || length > 64)
        return report(Status::invalid_argument,
                      fmt::format("{}: a job's name has 1 to 64 characters, not {}", __func__, length));
    return guarded(nullptr, [&]() -> tenonResult_t {
        const auto config = configuration(nullptr);
        if (!config) return report(config.error());
        const auto id = id_for_job(job, *config);
        if (!id) return report(id.error());
        std::memcpy(uniqueId->internal, id->bytes.data(), sizeof uniqueId->internal);
        return tenonSuccess;
    });
}

namespace {

tenonResult_t join(tenonComm_t* comm, int rank_count, const UniqueId& id, int rank, const Config& settings,
                   const std::shared_ptr<OpenDevice>& device) {
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto made = Communicator::join(id, rank, rank_count, settings, device);
        if (!made) return report(made.error());
        *comm = make_handle(std::move(*made));
        return tenonSuccess;
    });
}

tenonResult_t split(tenonComm* comm, int color, int key, tenonComm_t* made_comm, const Config& settings,
                    const std::shared_ptr<OpenDevice>& device) {
    return guarded(comm, [&]() -> tenonResult_t {
        const Inside inside(*comm);
        if (!is_alive(comm)) return refuse_handle(comm, "tenonCommSplit");
        auto made = comm->communicator->split(color, key, settings, device);
        if (!made) return report(made.error(), comm);
        if (*made != nullptr) *made_comm = make_handle(std::move(*made));
        return tenonSuccess;
    });
}

// Nobody is inside any more, and the handle is dead.
void leave_tombstone(tenonComm& comm) {
    comm.communicator.reset();
    const std::scoped_lock lock(comm.registrations_mutex);
    comm.registrations.clear();
}

Result<Config> settings_of_split(tenonComm& comm, const tenonConfig_t* config) {
    if (config != nullptr) return configuration(config);
    const Inside inside(comm);
    if (is_alive(&comm)) return comm.communicator->config();
    return fail(Status::invalid_usage, "tenonCommSplit: the communicator has just been aborted");
}

// As with its settings.
Result<std::shared_ptr<OpenDevice>> device_of_split(tenonComm& comm, const tenonConfig_t* config) {
    if (config != nullptr) return device_of(config);
    const Inside inside(comm);
    const DeviceCalls* const calls = is_alive(&comm) ? comm.communicator->device_calls() : nullptr;
    return calls != nullptr ? calls->device() : nullptr;
}

// At once, or when the thread's group ends.
tenonResult_t make(tenonComm* from, std::function<tenonResult_t()> how) {
    if (!in_group()) return how();
    add_to_group(from, std::move(how));
    return tenonSuccess;
}

}  // namespace

tenonResult_t tenonCommInitRank(tenonComm_t* comm, int nranks, tenonUniqueId commId, int rank) {
    return tenonCommInitRankConfig(comm, nranks, commId, rank, nullptr);
}

tenonResult_t tenonCommInitRankConfig(tenonComm_t* comm, int nranks, tenonUniqueId commId, int rank,
                                      tenonConfig_t* config) {
    if (comm == nullptr) return refused(null_argument(__func__, "comm"));
    *comm = nullptr;
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto settings = configuration(config);
        if (!settings) return refused(report(settings.error()));
        auto device = device_of(config);
        if (!device) return refused(report(device.error()));
        if (auto ok = Communicator::check_place(rank, nranks); !ok)
            return refused(report(ok.error().status, "tenonCommInitRank: " + ok.error().message));
        UniqueId id;
        std::memcpy(id.bytes.data(), commId.internal, sizeof commId.internal);
        return make(nullptr, [=, settings = *settings, device = *device] {
            return join(comm, nranks, id, rank, settings, device);
        });
    });
}

tenonResult_t tenonCommInitAll(tenonComm_t* comms, int ndev, const int*) {
    if (comms == nullptr) return null_argument(__func__, "comms");
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto settings = configuration(nullptr);
        if (!settings) return report(settings.error());
        if (auto ok = Communicator::check_place(0, ndev); !ok)
            return report(ok.error().status, "tenonCommInitAll: " + ok.error().message);
        auto made = Communicator::make_local(ndev, *settings);
        if (!made) return report(made.error());
        for (std::size_t i = 0; i < made->size(); i++) comms[i] = make_handle(std::move((*made)[i]));
        return tenonSuccess;
    });
}

tenonResult_t tenonCommSplit(tenonComm_t comm, int color, int key, tenonComm_t* newcomm, tenonConfig_t* config) {
    if (!is_alive(comm)) return refused(refuse_handle(comm, __func__));
    if (newcomm == nullptr) return refused(null_argument(comm, __func__, "newcomm"));
    *newcomm = nullptr;
    if (color < 0 && color != TENON_SPLIT_NOCOLOR)
        return refused(
            refuse(comm, __func__, fmt::format("color {} is negative and not TENON_SPLIT_NOCOLOR", color)));
    if (comm->finalized)
        return refused(refuse(comm, __func__, "the communicator was finalized; make a new one", Status::invalid_usage));
    return guarded(comm, [&]() -> tenonResult_t {
        auto settings = settings_of_split(*comm, config);
        if (!settings) return refused(report(settings.error(), comm));
        auto device = device_of_split(*comm, config);
        if (!device) return refused(report(device.error(), comm));
        return make(comm, [=, settings = *settings, device = *device] {
            return split(comm, color, key, newcomm, settings, device);
        });
    });
}

tenonResult_t tenonCommFinalize(tenonComm_t comm) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    return guarded(comm, [&]() -> tenonResult_t {
        const Inside inside(*comm);
        if (!is_alive(comm)) return refuse_handle(comm, "tenonCommFinalize");
        comm->communicator->wait_until_idle();
        comm->finalized = true;
        if (auto error = comm->communicator->failure()) return report(*error, comm);
        return tenonSuccess;
    });
}

tenonResult_t tenonCommDestroy(tenonComm_t comm) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    return guarded(nullptr, [&]() -> tenonResult_t {
        comm->communicator->wait_until_idle();
        comm->state.store(dead, std::memory_order_relaxed);
        leave_tombstone(*comm);
        return tenonSuccess;
    });
}

tenonResult_t tenonCommAbort(tenonComm_t comm) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    return guarded(nullptr, [&]() -> tenonResult_t {
        comm->state.store(dead, std::memory_order_relaxed);
        comm->communicator->abort();
        if (!wait_until_nobody_is_inside(*comm))
            return report(Status::internal_error,
                          "tenonCommAbort: a call has not returned in time; the communicator's memory stays allocated");
        leave_tombstone(*comm);
        return tenonSuccess;
    });
}

tenonResult_t tenonCommGetAsyncError(tenonComm_t comm, tenonResult_t* asyncError) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (asyncError == nullptr) return null_argument(comm, __func__, "asyncError");
    return guarded(nullptr, [&]() -> tenonResult_t {
        const auto error = comm->communicator->failure();
        *asyncError = error                            ? result_of(error->status)
                      : comm->communicator->has_work() ? tenonInProgress
                                                       : tenonSuccess;
        return tenonSuccess;
    });
}

tenonResult_t tenonCommCount(const tenonComm_t comm, int* count) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (count == nullptr) return null_argument(comm, __func__, "count");
    *count = comm->communicator->rank_count();
    return tenonSuccess;
}

tenonResult_t tenonCommUserRank(const tenonComm_t comm, int* rank) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (rank == nullptr) return null_argument(comm, __func__, "rank");
    *rank = comm->communicator->rank();
    return tenonSuccess;
}

tenonResult_t tenonCommAlgorithm(tenonComm_t comm, tenonCollective_t collective, size_t count, tenonDataType_t datatype,
                                 tenonRedOp_t op, const char** name) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (name == nullptr) return null_argument(comm, __func__, "name");
    if (static_cast<unsigned>(collective) >= tenonNumCollectives)
        return refuse(comm, __func__, fmt::format("there is no collective {}", static_cast<int>(collective)));
    if (static_cast<unsigned>(datatype) >= data_type_count)
        return refuse(comm, __func__, fmt::format("there is no data type {}", static_cast<int>(datatype)));
    return guarded(nullptr, [&]() -> tenonResult_t {
        static constexpr Collective by_number[] = {
            Collective::all_reduce,     Collective::reduce,     Collective::broadcast,
            Collective::reduce_scatter, Collective::all_gather, Collective::all_to_all,
            Collective::gather,         Collective::scatter,    Collective::barrier};
        // Any buffers: only where they are missing would be said.
        const Call call{.collective = by_number[collective],
                        .type = static_cast<DataType>(datatype),
                        .op = static_cast<unsigned>(op) < reduce_op_count ? static_cast<ReduceOp>(op) : ReduceOp::sum,
                        .send = &count,
                        .receive = &count,
                        .count = count};
        if (auto ok = check(call, comm->rank, comm->communicator->rank_count()); !ok) return report(ok.error(), comm);
        DeviceCalls* const on_device = comm->communicator->device_calls();
        const Request request = comm->communicator->request_of(call);
        auto choice = on_device != nullptr ? on_device->choice(request) : comm->communicator->choice(request);
        if (!choice) return report(choice.error(), comm);
        *name = choice->algorithm->name.data();
        return tenonSuccess;
    });
}

tenonResult_t tenonCommTransport(tenonComm_t comm, int peer, const char** name) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (name == nullptr) return null_argument(comm, __func__, "name");
    if (peer < 0 || peer >= comm->communicator->rank_count())
        return refuse(comm, __func__,
                      fmt::format("peer {} is not in [0, {})", peer, comm->communicator->rank_count()));
    *name = comm->communicator->transport_name(peer).data();
    return tenonSuccess;
}

tenonResult_t tenonCommLevelCount(tenonComm_t comm, int* count) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (count == nullptr) return null_argument(comm, __func__, "count");
    *count = static_cast<int>(comm->communicator->traffic().levels()->count());
    return tenonSuccess;
}

tenonResult_t tenonCommTraffic(tenonComm_t comm, int level, tenonTraffic_t* traffic) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (traffic == nullptr) return null_argument(comm, __func__, "traffic");
    const Communicator& communicator = *comm->communicator;
    const auto count = static_cast<int>(communicator.traffic().levels()->count());
    if (level < 0 || level >= count)
        return refuse(comm, __func__, fmt::format("level {} is not in [0, {})", level, count));
    const auto at = static_cast<std::size_t>(level);
    const LevelTraffic sent = communicator.traffic().at(at);
    *traffic = {.level = communicator.topology().levels[at].name.c_str(),
                .bytes = sent.bytes,
                .bytesLeavingHost = sent.bytes_leaving_host,
                .messages = sent.messages};
    return tenonSuccess;
}

tenonResult_t tenonCommSlotMemory(tenonComm_t comm, uint64_t* bytes) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (bytes == nullptr) return null_argument(comm, __func__, "bytes");
    *bytes = comm->communicator->slot_memory().value;
    return tenonSuccess;
}
