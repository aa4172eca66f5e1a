// A square of figures between ranks as people see it at a glance: rows send, columns receive. In the terminal (with
// colour where there is one) and as SVG. Slow is dark red, quick is pale; the scale runs from the best to three times
// as slow.
#pragma once

#include <string>

#include "perf/links.hpp"

namespace tenon::perf {

struct HeatMap {
    std::string title;  // with the unit
    const PairFigures& figures;
    bool large_is_slow = false;
};

std::string as_text(const HeatMap& map, bool in_colour);
// One picture of several maps, below each other. `names`: of the ranks.
std::string as_svg(std::span<const HeatMap> maps, std::span<const std::string> names);

}  // namespace tenon::perf
