#include "library/device_providers.hpp"

#include "os/process.hpp"
#include "reduction/kernels.hpp"
#include "transports/device_link/cuda/provider.hpp"
#include "transports/device_link/emulated/provider.hpp"

namespace tenon {
namespace {

void reduce_on_host(void* destination, const void* source, ElementCount elements, DataType type, ReduceOp op) {
    const void* const sources[] = {destination, source};
    reduce_kernel(type,
                  op)({.destination = destination, .sources = sources, .source_count = 2, .elements = elements.value});
}

}  // namespace

std::unique_ptr<device::Provider> emulated_devices(std::shared_ptr<emulated::Machine> machine) {
    return emulated::make_provider(std::move(machine), reduce_on_host);
}

Result<std::unique_ptr<device::Provider>> cuda_devices() {
    auto driver = cuda::open_driver();
    if (!driver) return std::unexpected(driver.error());
    return cuda::make_provider(std::move(*driver), os::process_token());
}

}  // namespace tenon
