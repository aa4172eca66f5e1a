// A module with one algorithm, built several times: in good order, and wrong in one way each (see CMakeLists.txt).
#include "tenon/plugin/module.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace {

constexpr tenon::Algorithm algorithm{.name = MODULE_ALGORITHM,
                                     .collective = tenon::Collective::all_reduce,
                                     .summary = "of a test",
                                     .cost = "none",
                                     .source = "this test",
                                     .build = [](const tenon::Request& request, const tenon::Topology&) {
                                         tenon::PlanBuilder plan{request};
                                         return plan.finish();
                                     }};

}  // namespace

extern "C" const TenonPluginModule tenonPlugin = {MODULE_VERSION, "test", MODULE_TAG, &algorithm, 1, nullptr, 0};
