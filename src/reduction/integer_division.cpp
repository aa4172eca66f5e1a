#include "reduction/integer_division.hpp"

#include <cstring>
#include <type_traits>

#include "base/assert.hpp"

namespace tenon {

template <class T>
void reduce_and_divide(ReduceKernel kernel, const ReduceArguments& arguments) {
    TENON_ASSERT(arguments.divisor >= 1 && arguments.divisor < 0x1p63, "integers are divided by a count of ranks");
    ReduceArguments undivided = arguments;
    undivided.second_destination = nullptr;
    undivided.divisor = 1;
    undivided.stream_destination = undivided.stream_second = false;
    kernel(undivided);

    // 64 bits, because the divisor may be larger than any T.
    using Wide = std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;
    const auto divisor = static_cast<Wide>(arguments.divisor);
    auto* destination = static_cast<std::byte*>(arguments.destination);
    auto* second = static_cast<std::byte*>(arguments.second_destination);
    for (std::uint64_t offset = 0; offset < arguments.elements * sizeof(T); offset += sizeof(T)) {
        T value;
        std::memcpy(&value, destination + offset, sizeof(T));
        value = static_cast<T>(static_cast<Wide>(value) / divisor);
        std::memcpy(destination + offset, &value, sizeof(T));
        if (second != nullptr) {
            std::memcpy(second + offset, &value, sizeof(T));
        }
    }
}

template void reduce_and_divide<std::int8_t>(ReduceKernel, const ReduceArguments&);
template void reduce_and_divide<std::uint8_t>(ReduceKernel, const ReduceArguments&);
template void reduce_and_divide<std::int16_t>(ReduceKernel, const ReduceArguments&);
template void reduce_and_divide<std::uint16_t>(ReduceKernel, const ReduceArguments&);
template void reduce_and_divide<std::int32_t>(ReduceKernel, const ReduceArguments&);
template void reduce_and_divide<std::uint32_t>(ReduceKernel, const ReduceArguments&);
template void reduce_and_divide<std::int64_t>(ReduceKernel, const ReduceArguments&);
template void reduce_and_divide<std::uint64_t>(ReduceKernel, const ReduceArguments&);

}  // namespace tenon
