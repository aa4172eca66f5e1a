// The provider `emulated`: devices of an emulated machine (machine.hpp), whose streams are worker threads.
//
// Data really moves; time is virtual. Each stream has a clock: an operation costs `task_ns`, a transfer waits until its
// link is free, and events and notifies carry their time to whoever waits for them. What a collective takes on the
// links described can so be computed anywhere, however slow the machine.
//
// It refuses what hardware refuses: reductions outside the stream's own device, peers that were not enabled, keys that
// were not meant for this process or server, exporters that close first, more notifies than there are.
#pragma once

#include "transports/device_link/emulated/machine.hpp"

namespace tenon::emulated {

// destination[i] = destination[i] op source[i], on the host.
using Reducer = void (*)(void* destination, const void* source, ElementCount elements, DataType type, ReduceOp op);

std::unique_ptr<device::Provider> make_provider(std::shared_ptr<Machine> machine, Reducer reducer);

}  // namespace tenon::emulated
