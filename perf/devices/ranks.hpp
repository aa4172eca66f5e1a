// Ranks of a measurement on devices: processes of this program, which tell each other what they need through sockets.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "device_execution/device_links.hpp"
#include "os/socket.hpp"

namespace tenon::perf {

class DevicePerfRank {
public:
    Rank rank() const { return rank_; }
    Rank rank_count() const { return rank_count_; }
    // Rank 0 gathers from all and tells all.
    Result<std::vector<std::vector<std::byte>>> introduce(std::span<const std::byte> own);
    // The largest of all ranks' numbers. A rank that has left is an error.
    Result<double> largest(double own);

private:
    friend int run_device_ranks(Rank, const std::function<Result<void>(DevicePerfRank&)>&);
    Rank rank_ = 0, rank_count_ = 1;
    std::vector<os::LocalSocket> sockets_;  // of rank 0: by rank; of the others: one, to rank 0
};

// Starts the ranks and waits for them; 0 where all of them ended well. Errors are printed by whoever has them.
int run_device_ranks(Rank rank_count, const std::function<Result<void>(DevicePerfRank&)>& body);

}  // namespace tenon::perf
