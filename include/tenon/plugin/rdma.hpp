// What users may say of RDMA (TENON_RDMA_*), for networks over it. Whatever is not said, the network finds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tenon {

struct RdmaChoices {
    std::string devices{};  // the names of those to be used; empty: all that can be
    std::optional<std::uint32_t> gid_index{};
    std::uint32_t pkey_index = 0;
    std::uint32_t traffic_class = 0, service_level = 0;
    std::optional<std::uint32_t> packet_bytes{};  // at most
    std::optional<std::uint32_t> timeout{};       // of an acknowledgement: 4.096 us * 2^timeout
    std::uint32_t retry_count = 6;
    std::uint32_t queue_pairs = 1;  // between two ports; the same on both sides
};

}  // namespace tenon
