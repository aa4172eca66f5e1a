// Follows the data of a world symbolically: every piece of every buffer holds an expression over the ranks' inputs.
#pragma once

#include "plan/world.hpp"

namespace tenon {

struct DataFlowFacts {
    // Each reduced output is the tree over ranks of the design's invariant 2 (true where nothing is reduced).
    bool tree = true;
    // And one step forms it from every rank's raw input, so that narrow types are rounded once.
    bool tree_in_one_step = true;
};

// Runs all steps once, in the given order (from schedule()). An error names the step that reads what nobody wrote, adds
// to a complete sum or completes an incomplete one; or the output that ends with the wrong contributions.
Result<DataFlowFacts> follow_data(const World& world, std::span<const StepId> order, bool in_place);

// A barrier moves no data: every rank must learn, through messages, that every other has begun.
Result<void> follow_arrivals(const World& world, std::span<const StepId> order);

}  // namespace tenon
