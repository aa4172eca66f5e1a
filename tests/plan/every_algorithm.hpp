// All built-in algorithms.
#pragma once

#include <vector>

#include "algorithms/patterns/manifest.hpp"

namespace tenon {

inline std::vector<Algorithm> every_algorithm() {
    std::vector<Algorithm> rows;
    for (const auto& manifest :
         {all_reduce_algorithms(), all_gather_algorithms(), reduce_scatter_algorithms(), all_to_all_algorithms(),
          broadcast_algorithms(), reduce_algorithms(), gather_algorithms(), scatter_algorithms(), barrier_algorithms()})
        rows.insert(rows.end(), manifest.begin(), manifest.end());
    return rows;
}

}  // namespace tenon
