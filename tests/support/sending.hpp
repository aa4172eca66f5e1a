// Sending a message on a ring's end as the executor does, for tests and fuzzers that have no executor.
#pragma once

#include <algorithm>
#include <vector>

#include "tenon/plugin/slots.hpp"

namespace tenon {

// False where there is no credit for it.
inline bool try_send(SendEnd& end, const std::vector<std::byte>& bytes, std::uint32_t signature) {
    if (bytes.size() <= packed_bytes) {
        if (!end.may_send_packed(bytes.size())) return false;
        end.send_packed(bytes.data(), bytes.size(), signature);
        return true;
    }
    const Row row = end.row_of(bytes.size());
    if (!end.may_send_bulk(row)) return false;
    std::ranges::copy(bytes, end.payload(row, bytes.size()));
    end.send_staged(row, bytes.size(), signature);
    return true;
}

}  // namespace tenon
