// The communication calls: arguments in, a Call out, and its way to the communicator: at once, into the thread's group,
// or into a stream.
#include <fmt/format.h>

#include <algorithm>

#include "c_api/handles.hpp"

namespace tenon::c_api {
namespace {

tenonResult_t run_now(tenonComm* comm, const Call& call, const char* function) {
    const Inside inside(*comm);
    if (!is_alive(comm)) [[unlikely]] return refuse_handle(comm, function);
    const Result<void> result = comm->communicator->run(call);
    if (result) [[likely]] return tenonSuccess;
    return report(result.error(), comm);
}

bool is_stream(tenonStream_t stream) { return stream->state == alive; }

// Data type and operation in; false when they are unknown.
bool set_type(Call& call, tenonDataType_t type) {
    if (static_cast<unsigned>(type) >= data_type_count) return false;
    call.type = static_cast<DataType>(type);
    return true;
}

tenonResult_t bad_type(tenonComm* comm, const char* function, tenonDataType_t type) {
    return refuse(comm, function, fmt::format("there is no data type {}", static_cast<int>(type)));
}

bool set_op(tenonComm* comm, Call& call, tenonRedOp_t op) {
    if (static_cast<unsigned>(op) < reduce_op_count) {
        call.op = static_cast<ReduceOp>(op);
        return true;
    }
    const std::size_t index = static_cast<std::size_t>(op) - tenonNumOps;
    if (index >= comm->scaled_sums.size() || comm->scaled_sums[index] == nullptr || !comm->scaled_sums[index]->valid ||
        comm->scaled_sums[index]->type != call.type)
        return false;
    call.op = ReduceOp::sum;
    call.factor = comm->scaled_sums[index]->factor;
    return true;
}

tenonResult_t bad_op(tenonComm* comm, const char* function, tenonRedOp_t op) {
    return refuse(comm, function,
                  fmt::format("there is no operation {} for this data type and communicator", static_cast<int>(op)));
}

// The shortest way, for a call like the last one of this communicator; false when it is not that.
inline bool repeat(tenonComm* comm, const CallWords& words, const Call& call, tenonStream_t stream,
                   tenonResult_t& result) {
    if (comm == nullptr || has_devices.load(std::memory_order_relaxed)) return false;
    const Inside inside(*comm);
    if (!is_alive(comm) || stream != nullptr || in_group() || call.send == nullptr || call.receive == nullptr ||
        comm->finalized || !comm->communicator->repeats(words, call.send, call.receive))
        return false;
    result = guarded(comm, [&]() -> tenonResult_t {
        if (const Result<void> ran = comm->communicator->repeat(call.send, call.receive); !ran) [[unlikely]]
            return report(ran.error(), comm);
        return tenonSuccess;
    });
    return true;
}

// The general way.
[[gnu::noinline]] tenonResult_t submit_checked(tenonComm* comm, Call& call, tenonDataType_t type,
                                               const tenonRedOp_t* op, const CallWords& words, tenonStream_t stream,
                                               const char* function) {
    if (!is_alive(comm)) return refused(refuse_handle(comm, function));
    if (!set_type(call, type)) return refused(bad_type(comm, function, type));
    if (op != nullptr && !set_op(comm, call, *op)) return refused(bad_op(comm, function, *op));
    const tenonResult_t result = c_api::submit(comm, call, stream, function);
    if (result == tenonSuccess && stream == nullptr && !in_group() && call.factor == nullptr &&
        call.receive_counts == nullptr)
        comm->communicator->remember(words);
    return result;
}

// A collective with a data type and maybe an operation.
inline tenonResult_t submit_typed(tenonComm* comm, Call&& call, tenonDataType_t type, const tenonRedOp_t* op,
                                  tenonStream_t stream, const char* function) {
    const CallWords words{call.count,
                          static_cast<std::uint32_t>(type) |
                              static_cast<std::uint64_t>(op != nullptr ? static_cast<std::uint32_t>(*op) : 0) << 32,
                          static_cast<std::uint64_t>(call.collective) << 32 | static_cast<std::uint32_t>(call.root)};
    tenonResult_t result;
    if (repeat(comm, words, call, stream, result)) [[likely]] return result;
    return submit_checked(comm, call, type, op, words, stream, function);
}

}  // namespace

tenonResult_t submit(tenonComm* comm, const Call& call, tenonStream_t stream, const char* function) {
    // What is sent to this rank itself is refused as a group of one.
    const bool is_to_itself = is_point_to_point(call.collective) && call.root == comm->communicator->rank();
    const bool may_be_of_device = has_devices.load(std::memory_order_relaxed);
    if (stream == nullptr && !in_group() && !is_to_itself && !comm->finalized && !may_be_of_device) [[likely]] {
        return guarded(comm, [&] { return run_now(comm, call, function); });
    }
    return guarded(comm, [&]() -> tenonResult_t {
        if (comm->finalized)
            return refused(refuse(comm, function, "the communicator was finalized; make a new one",
                                  Status::invalid_usage));
        if (stream != nullptr && !is_stream(stream)) return refused(refuse(comm, function, "not a stream"));
        if (auto ok = check(call, comm->communicator->rank(), comm->communicator->rank_count()); !ok)
            return refused(report(ok.error(), comm));
        if (in_group()) return add_to_group(comm, call, stream);
        if (!may_be_of_device) return issue_alone(comm, call, stream);
        const auto device = device_stream_of(*comm, call, stream);
        if (!device) return report(device.error(), comm);
        const bool runs_here = *device == nullptr && stream == nullptr && !is_to_itself;
        return runs_here ? run_now(comm, call, function) : issue_alone(comm, call, stream, *device);
    });
}

}  // namespace tenon::c_api

using namespace tenon;
using namespace tenon::c_api;

tenonResult_t tenonAllReduce(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                             tenonRedOp_t op, tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(comm,
                        {.collective = Collective::all_reduce, .send = sendbuff, .receive = recvbuff, .count = count},
                        datatype, &op, stream, __func__);
}

tenonResult_t tenonReduce(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype, tenonRedOp_t op,
                          int root, tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(
        comm, {.collective = Collective::reduce, .root = root, .send = sendbuff, .receive = recvbuff, .count = count},
        datatype, &op, stream, __func__);
}

tenonResult_t tenonBroadcast(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype, int root,
                             tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(
        comm,
        {.collective = Collective::broadcast, .root = root, .send = sendbuff, .receive = recvbuff, .count = count},
        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonBcast(void* buff, size_t count, tenonDataType_t datatype, int root, tenonComm_t comm,
                         tenonStream_t stream) {
    return tenonBroadcast(buff, buff, count, datatype, root, comm, stream);
}

tenonResult_t tenonReduceScatter(const void* sendbuff, void* recvbuff, size_t recvcount, tenonDataType_t datatype,
                                 tenonRedOp_t op, tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(
        comm, {.collective = Collective::reduce_scatter, .send = sendbuff, .receive = recvbuff, .count = recvcount},
        datatype, &op, stream, __func__);
}

tenonResult_t tenonReduceScatterv(const void* sendbuff, void* recvbuff, const size_t recvcounts[],
                                  tenonDataType_t datatype, tenonRedOp_t op, tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(comm,
                        {.collective = Collective::reduce_scatter_v,
                         .send = sendbuff,
                         .receive = recvbuff,
                         .receive_counts = recvcounts},
                        datatype, &op, stream, __func__);
}

tenonResult_t tenonAllGather(const void* sendbuff, void* recvbuff, size_t sendcount, tenonDataType_t datatype,
                             tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(
        comm, {.collective = Collective::all_gather, .send = sendbuff, .receive = recvbuff, .count = sendcount},
        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonAllGatherv(const void* sendbuff, size_t sendcount, void* recvbuff, const size_t recvcounts[],
                              const size_t displs[], tenonDataType_t datatype, tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(comm,
                        {.collective = Collective::all_gather_v,
                         .send = sendbuff,
                         .receive = recvbuff,
                         .count = sendcount,
                         .receive_counts = recvcounts,
                         .receive_offsets = displs},
                        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonAlltoAll(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                            tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(comm,
                        {.collective = Collective::all_to_all, .send = sendbuff, .receive = recvbuff, .count = count},
                        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonAlltoAllv(const void* sendbuff, const size_t sendcounts[], const size_t sdispls[], void* recvbuff,
                             const size_t recvcounts[], const size_t rdispls[], tenonDataType_t datatype,
                             tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(comm,
                        {.collective = Collective::all_to_all_v,
                         .send = sendbuff,
                         .receive = recvbuff,
                         .send_counts = sendcounts,
                         .send_offsets = sdispls,
                         .receive_counts = recvcounts,
                         .receive_offsets = rdispls},
                        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonGather(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype, int root,
                          tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(
        comm, {.collective = Collective::gather, .root = root, .send = sendbuff, .receive = recvbuff, .count = count},
        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonScatter(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype, int root,
                           tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(
        comm, {.collective = Collective::scatter, .root = root, .send = sendbuff, .receive = recvbuff, .count = count},
        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonBarrier(tenonComm_t comm, tenonStream_t stream) {
    return submit_typed(comm, {.collective = Collective::barrier}, tenonInt8, nullptr, stream, __func__);
}

tenonResult_t tenonSend(const void* sendbuff, size_t count, tenonDataType_t datatype, int peer, tenonComm_t comm,
                        tenonStream_t stream) {
    return submit_typed(comm, {.collective = Collective::send, .root = peer, .send = sendbuff, .count = count},
                        datatype, nullptr, stream, __func__);
}

tenonResult_t tenonRecv(void* recvbuff, size_t count, tenonDataType_t datatype, int peer, tenonComm_t comm,
                        tenonStream_t stream) {
    return submit_typed(comm, {.collective = Collective::receive, .root = peer, .receive = recvbuff, .count = count},
                        datatype, nullptr, stream, __func__);
}
