// What every map that a fuzzer's bytes became must stand: writing, reading back as equal, projecting and drawing.
#pragma once

#include <cstdint>
#include <cstdlib>

#include "topology/files/files.hpp"
#include "topology/printer.hpp"
#include "topology/projection.hpp"

namespace tenon::fuzz {

inline void use(const Result<Map>& map) {
    if (!map) {
        if (!map.error().message.starts_with("fuzz")) std::abort();
        return;
    }
    if (map->place_count() > 2000) return;  // what follows is not linear, and is no reader
    const auto again = read_map(json_of(*map), "again");
    if (!again || again->map != *map) std::abort();
    static_cast<void>(topology_of(*map));
    static_cast<void>(text_of(*map));
    static_cast<void>(svg_of(*map));
}

}  // namespace tenon::fuzz
