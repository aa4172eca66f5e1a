// The device on which a rank's calls run, and its stream. Used by one thread; errors are tenon::Exception.
#pragma once

#include <span>
#include <string>

#include "perf/team.hpp"
#include "tenon/device.hpp"

namespace tenon::perf {

class DeviceSide {
public:
    // The ranks of a host take its devices of that kind by turns.
    DeviceSide(const std::string& kind, Rank rank, std::span<const RankFacts> ranks)
        : kind_(kind), device_(name_for(kind, rank, ranks)), stream_(device_) {}

    const std::string& kind() const { return kind_; }
    const Device& device() const { return device_; }
    api::DeviceStream& stream() { return stream_; }
    // Both return when it is done.
    void put(const DeviceMemory<std::byte>& to, std::span<const std::byte> from) {
        stream_.copy_to(to, from);
        stream_.synchronize();
    }
    void get(std::span<std::byte> to, const DeviceMemory<std::byte>& from) {
        stream_.copy_from(from, to);
        stream_.synchronize();
    }

private:
    static std::string name_for(const std::string& kind, Rank rank, std::span<const RankFacts> ranks) {
        const auto own = static_cast<std::size_t>(rank);
        int before = 0;
        for (std::size_t r = 0; r < own; r++) before += std::string{ranks[r].host} == ranks[own].host ? 1 : 0;
        const int devices = Device::count(kind);
        return kind + ":" + std::to_string(before % devices);
    }

    std::string kind_;
    api::Device device_;
    api::DeviceStream stream_;
};

}  // namespace tenon::perf
