// Loads modules (include/tenon/plugin/module.hpp) and says what they bring.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/algorithm.hpp"
#include "tenon/plugin/network.hpp"

namespace tenon {

struct Brought {
    std::vector<Algorithm> algorithms{};
    std::vector<NetworkRow> networks{};
};

// What these modules bring, in order. Modules stay loaded to the end of the process. A module that cannot be loaded,
// has another version or build tag, or names what is `known` already, is an error that says which; system_error where
// the loader could not open it.
Result<Brought> load_plugins(std::span<const std::string> paths, const Brought& known);

}  // namespace tenon
