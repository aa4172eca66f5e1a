#include <array>

#include "library/registry.hpp"

namespace tenon {

std::span<const TransportRow> transports() {
    static constexpr std::array<TransportRow, 3> rows{
        {{"inproc", "threads of one process", "rings in memory that they share; every buffer is reached directly"},
         {"shm", "processes of one host",
          "rings in a memfd that they share; buffers from tenonMemAlloc are reached directly"},
         {"tcp", "ranks of different hosts", "sockets; large messages go from buffer to buffer without a copy here"}}};
    return rows;
}

}  // namespace tenon
