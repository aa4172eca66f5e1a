// The provider `cuda`: NVIDIA GPUs through the driver's library.
//
// Memory is shared by the driver's IPC handles; a notify is a word in a pool on its device, which streams write and
// wait for (stream memory operations), so no host takes part; reductions are the kernels of kernels.hpp. Everything
// that the driver could load late, and wait for the whole device then, is loaded when a device is opened.
//
// Several processes may use one GPU: each has a context of its own there, between which the GPU switches.
// The driver knows no whitelist of importers and does not refuse to share what is still imported.
#pragma once

#include "os/process.hpp"
#include "tenon/plugin/device.hpp"
#include "transports/device_link/cuda/cuda_api.hpp"

namespace tenon::cuda {

// An error where there is no driver or no GPU, or it is too old. `self` tells this process from others.
Result<std::unique_ptr<device::Provider>> make_provider(std::unique_ptr<CudaApi> api, os::ProcessToken self);

}  // namespace tenon::cuda
