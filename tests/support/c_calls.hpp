// The C API's call for a shape, and results in words.
#pragma once

#include <string>

#include "tenon/tenon.h"
#include "tests/support/reference.hpp"

namespace tenon::support {

inline tenonResult_t submit(const Shape& s, const void* send, void* receive, tenonComm_t comm,
                            tenonStream_t stream = nullptr) {
    const auto type = static_cast<tenonDataType_t>(s.type);
    const auto op = static_cast<tenonRedOp_t>(s.op);
    switch (s.collective) {
        case Collective::all_reduce: return tenonAllReduce(send, receive, s.count, type, op, comm, stream);
        case Collective::reduce: return tenonReduce(send, receive, s.count, type, op, s.root, comm, stream);
        case Collective::broadcast: return tenonBroadcast(send, receive, s.count, type, s.root, comm, stream);
        case Collective::reduce_scatter: return tenonReduceScatter(send, receive, s.count, type, op, comm, stream);
        case Collective::all_gather: return tenonAllGather(send, receive, s.count, type, comm, stream);
        case Collective::all_to_all: return tenonAlltoAll(send, receive, s.count, type, comm, stream);
        case Collective::gather: return tenonGather(send, receive, s.count, type, s.root, comm, stream);
        case Collective::scatter: return tenonScatter(send, receive, s.count, type, s.root, comm, stream);
        case Collective::barrier: return tenonBarrier(comm, stream);
        default: return tenonInvalidUsage;
    }
}

inline std::string name_of(tenonResult_t result) { return std::string{tenon::name_of(static_cast<Status>(result))}; }

// "success", or the result and what the library says about it.
inline std::string outcome(tenonResult_t result, tenonComm_t comm = nullptr) {
    return result == tenonSuccess ? "success" : name_of(result) + ": " + tenonGetLastError(comm);
}

}  // namespace tenon::support
