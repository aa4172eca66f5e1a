// Runs a check with every instruction set that this machine has and the library was compiled for.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>

#include "hwy/targets.h"
#include "reduction/kernels.hpp"

namespace tenon {

template <class Check>
void for_each_reduction_target(const Check& check) {
    std::set<std::string> checked;
    for (std::int64_t targets = hwy::SupportedTargets() | HWY_SCALAR; targets != 0; targets &= targets - 1) {
        hwy::SetSupportedTargetsForTest(targets & -targets);
        const std::string name = reduction_target();
        if (checked.insert(name).second) {
            SCOPED_TRACE("instruction set " + name);
            check();
        }
    }
    hwy::SetSupportedTargetsForTest(0);
}

}  // namespace tenon
