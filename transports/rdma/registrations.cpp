#include "transports/rdma/registrations.hpp"

namespace tenon::rdma {

Result<DeviceRegions> register_with_all(const std::vector<Device*>& devices, std::span<std::byte> range) {
    DeviceRegions made;
    for (std::size_t i = 0; i < devices.size(); i++) {
        if (i != 0 && devices[i] == devices[i - 1]) {
            made.local[i] = made.local[i - 1];
            made.remote[i] = made.remote[i - 1];
            continue;
        }
        auto region = devices[i]->register_memory(range, true);
        if (!region) return std::unexpected(region.error());
        made.regions[i] = std::move(*region);
        made.local[i] = made.regions[i]->lkey;
        made.remote[i] = made.regions[i]->rkey;
    }
    return made;
}

}  // namespace tenon::rdma
