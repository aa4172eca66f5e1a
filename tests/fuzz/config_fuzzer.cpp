// Any bytes as the values of variables, "NAME=value" lines: an Error that says which, or a Config; never a crash.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    std::string_view text{reinterpret_cast<const char*>(bytes), size};
    tenon::Environment environment;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        const std::size_t equals = line.find('=');
        if (equals != std::string_view::npos)
            environment["TENON_" + std::string{line.substr(0, equals)}] = line.substr(equals + 1);
    }
    if (const auto config = tenon::read_config(environment); config) static_cast<void>(tenon::agreed_settings(*config));
    return 0;
}
