// How many sockets a pair of ranks has, where nobody says.
#pragma once

#include "os/internet.hpp"

namespace tenon::tcp {

inline constexpr unsigned most_sockets = 16;

// As many as it takes to fill the link with flows of which each is limited: by what one core does for a flow, or by the
// network, which gives each flow its share (Amazon's: 5 Gbit/s; Google's) or puts it on one member of a bond. The
// counts for the two clouds follow NCCL's net_socket.cc, with its threads' sockets taken together, at most 8.
// But no more than leave most of this process's descriptors to others, with so many peers.
unsigned usual_sockets(const os::LinkFacts& link, std::uint64_t peers, std::uint64_t descriptors);

}  // namespace tenon::tcp
