// Two processes that share devices, and pass each other what they need to: keys.
#pragma once

#include <functional>
#include <string>

#include "os/socket.hpp"
#include "tests/device/devices.hpp"
#include "tests/support/rank_processes.hpp"

namespace tenon::support {

// What one of the two processes has.
class PairedProcess {
public:
    PairedProcess(int rank, os::LocalSocket& socket, device::Provider& provider)
        : rank_{rank}, socket_{&socket}, provider_{&provider} {}
    int rank() const { return rank_; }
    device::Provider& provider() const { return *provider_; }
    void send(std::span<const std::byte> bytes) const;
    void receive(std::span<std::byte> bytes) const;
    // Gives the other process this key and takes the one that it gives.
    device::Key swap(const device::Key& own) const;
    // Both have come here.
    void meet() const;

private:
    int rank_;
    os::LocalSocket* socket_;
    device::Provider* provider_;
};

// Runs the body in two processes, each with a provider of this name. A skipped test where that cannot be used here.
void run_pair(const std::string& provider, const std::function<void(PairedProcess&)>& body);

}  // namespace tenon::support
