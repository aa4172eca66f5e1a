// A 128-bit digest of a text: equal texts have equal digests, different texts in practice never.
#pragma once

#include <cstdint>
#include <string_view>

namespace tenon::bootstrap {

struct Digest {
    std::uint64_t high = 0, low = 0;
    friend auto operator<=>(const Digest&, const Digest&) = default;
};

Digest digest(std::string_view text);

}  // namespace tenon::bootstrap
