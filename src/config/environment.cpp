#include "config/environment.hpp"

#include <string_view>

extern "C" char** environ;  // POSIX's; its header declares system calls, which this folder does not need

namespace tenon {

Environment process_environment() {
    Environment variables;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
        const std::string_view text{*entry};
        const std::size_t equals = text.find('=');
        if (equals != text.npos) variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return variables;
}

}  // namespace tenon
