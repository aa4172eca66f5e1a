// Where the hosts of a job find its root: what TENON_RENDEZVOUS holds, what launchers say, what a UniqueId carries.
//
//   nothing          all ranks are on one host, and no network is used
//   host:port        a name, an IPv4 address, or an IPv6 address in brackets; the port is used as it is
//   host             the root takes the first of eight ports that follow from the job
//   file:PATH        on a file system that the hosts share: the root writes there where it is
//   pmix:            rank 0 tells its host's address through the launcher (pmix.hpp); ports as without one
//
// Values; a file is read and written whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bootstrap/unique_id.hpp"
#include "os/internet.hpp"

namespace tenon::bootstrap {

struct Place {
    std::string host{};      // empty: this host only, or a file
    std::uint16_t port = 0;  // 0: one that follows from the job
    std::string file{};
    bool is_told_by_pmix = false;
    bool is_one_host() const { return host.empty() && file.empty() && !is_told_by_pmix; }
    // Named so that only this host's processes can mean it.
    bool is_loopback() const;
    // The port follows from the job: others on the root's host may know it, and be there first.
    bool has_derived_ports() const { return port == 0 && file.empty(); }
};

inline constexpr std::string_view place_told_by_pmix = "pmix:";

Result<Place> read_place(std::string_view text);

// The ports on which the root of a meeting with this name may listen, in the order of trying. The derived ones lie
// below those that the system gives out.
std::vector<std::uint16_t> ports_of(const Place& place, std::uint64_t meeting);

// What the root tells through a file. The secret is made for it: only those who may read the file can join.
struct RootRecord {
    std::string address{};
    Secret secret{};
};
// Appears at once and whole, readable by its user alone.
Result<void> write_root_file(const std::string& path, std::uint64_t meeting, const RootRecord& record);
// An error when there is no such file, it is none of Tenon's, or another meeting's.
Result<RootRecord> read_root_file(const std::string& path, std::uint64_t meeting);
// Unless it is somebody else's by now.
void remove_root_file(const std::string& path, std::uint64_t meeting, const RootRecord& record);

}  // namespace tenon::bootstrap
