// A module with one algorithm, built several times: in good order, and wrong in one way each (see CMakeLists.txt).
#include "tenon/plugin/module.hpp"
#include "tenon/plugin/plan_builder.hpp"

namespace {

void (*say)(int level, const char* line, std::size_t length) = nullptr;

constexpr tenon::Algorithm algorithm{.name = MODULE_ALGORITHM,
                                     .collective = tenon::Collective::all_reduce,
                                     .summary = "of a test",
                                     .cost = "none",
                                     .source = "this test",
                                     .build = [](const tenon::Request& request, const tenon::Topology&) {
                                         constexpr std::string_view line = "it is asked for a plan";
                                         for (const int level : {2, 4}) say(level, line.data(), line.size());
                                         tenon::PlanBuilder plan{request};
                                         return plan.finish();
                                     }};

}  // namespace

extern "C" const TenonPluginModule tenonPlugin = {MODULE_VERSION, "test", MODULE_TAG, &algorithm, 1, nullptr, 0,
                                                 [](auto* sink) { say = sink; }};
