// What tests of meetings have in common.
#pragma once

#include <memory>

#include "bootstrap/meeting.hpp"

namespace tenon {

using Met = Result<std::shared_ptr<const Meeting>>;

inline constexpr std::uint64_t ample_ms = 60'000;

// What ranks say that agree.
inline Agreement agreement_of(Rank rank_count) {
    return {.rank_count = rank_count, .segment = {4096}, .build = "1.0 test", .configuration = "A=1\nB=2\n"};
}

}  // namespace tenon
