// Any bytes as a recorded routing: what is wrong, with the line, or choices that are all in range; never a crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "perf/moe_recording.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const auto made = tenon::perf::parse_moe_recording({reinterpret_cast<const char*>(bytes), size});
    if (!made) {
        if (!made.error().starts_with("line ")) std::abort();
        return 0;
    }
    if (made->ranks == 0 || made->top_k == 0 || made->choices.size() != made->ranks) std::abort();
    for (const auto& choices : made->choices) {
        if (choices.size() % made->top_k != 0) std::abort();
        for (const std::int64_t expert : choices)
            if (expert < -1 || expert >= made->experts) std::abort();
    }
    return 0;
}
