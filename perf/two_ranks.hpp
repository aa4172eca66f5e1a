// What two ranks say to each other when what lies between them is measured. Both call the same, each with the other as
// `peer`; `begins` is true on one of them.
#pragma once

#include "perf/team.hpp"

namespace tenon::perf {

template <class Buffer>
void there_and_back(Communicator& comm, Rank peer, bool begins, Buffer& buffer, int times) {
    for (int i = 0; i < times; i++) {
        if (begins) comm.send(buffer, peer), comm.receive(buffer, peer);
        else comm.receive(buffer, peer), comm.send(buffer, peer);
    }
}

// From who begins to the other.
template <class Buffer>
void one_way(Communicator& comm, Rank peer, bool begins, Buffer& buffer, int times) {
    for (int i = 0; i < times; i++) {
        if (begins) comm.send(buffer, peer);
        else comm.receive(buffer, peer);
    }
}

}  // namespace tenon::perf
