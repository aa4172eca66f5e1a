// Any bytes as a tuning file: an Error that names the line, or what reads back as it was; never a crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "selection/tuning.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const auto tuning = tenon::parse_tuning({reinterpret_cast<const char*>(bytes), size}, "file");
    if (!tuning) {
        if (!tuning.error().message.starts_with("file, line ")) std::abort();
        return 0;
    }
    auto again = tenon::parse_tuning(tenon::show(*tuning), "again");
    if (!again) std::abort();
    again->fingerprint = tuning->fingerprint;
    if (*again != *tuning) std::abort();
    return 0;
}
