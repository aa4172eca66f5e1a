// The provider `ascend`: NPUs through ACL's runtime, which is opened at run time.
//
// A device is a die. Memory is shared within a server by the runtime's keys, within a supernode as physical memory by
// fabric handles (Reach::supernode); notifies and events are the runtime's; reductions are its own, in the stream's own
// device. What the hardware does not do is refused here, in words, before the runtime is asked.
//
// Importers close before exporters: nobody finds out on hardware, so it is the callers' duty.
#pragma once

#include "os/process.hpp"
#include "tenon/plugin/device.hpp"
#include "transports/device_link/ascend/acl_library.hpp"

namespace tenon::ascend {

// An error where there is no NPU. `self` tells this process from others.
Result<std::unique_ptr<device::Provider>> make_provider(const AclLibrary& acl, os::ProcessToken self);

}  // namespace tenon::ascend
