// A square of figures between ranks as people see it at a glance: rows send, columns receive. In the terminal (with
// colour where there is one) and as SVG. Quick is pale, slow is dark red: pairs on one host from the best of these to
// the worst, and pairs of different hosts from their own best to their own worst, or to three times as slow if none is
// slower.
#pragma once

#include <string>

#include "perf/links.hpp"

namespace tenon::perf {

struct HeatMap {
    std::string title;  // with the unit
    Comparison compared;
    enum class Nothing { is_bad, is_good } nothing = Nothing::is_bad;  // a figure of 0
};

std::string as_text(const HeatMap& map, bool in_colour);
// One picture of several maps of the same ranks, below each other.
std::string as_svg(std::span<const HeatMap> maps);

}  // namespace tenon::perf
