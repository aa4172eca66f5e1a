// Any bytes as an MSCCL file: an Error or verified plans, never a crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "interchange/msccl.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const auto algorithm = tenon::read_msccl({reinterpret_cast<const char*>(bytes), size}, "fuzz.xml");
    if (!algorithm && !algorithm.error().message.starts_with("fuzz.xml")) std::abort();
    return 0;
}
