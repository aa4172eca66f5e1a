// Any bytes as plans in JSON: an Error or plans, which the verifier may refuse; never a crash.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "plan/printer.hpp"
#include "plan/verifier.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (const auto plans = tenon::plans_from_json({reinterpret_cast<const char*>(bytes), size});
        plans && plans->size() <= 16)
        static_cast<void>(tenon::verify(*plans, {}));
    return 0;
}
