// Which modules are loaded, and how the others are refused: each by name, with what to do.
#include "library/plugins.hpp"

#include <dlfcn.h>
#include <gmock/gmock.h>

#include <csignal>

#include "base/log.hpp"

namespace tenon {
namespace {

using testing::HasSubstr;

constexpr Algorithm known_ring{
    .name = "ring", .collective = Collective::all_reduce, .summary = "", .cost = "", .source = "", .build = nullptr};

std::string refusal(const std::vector<std::string>& paths) {
    const auto loaded = load_plugins(paths, {.algorithms = {known_ring}});
    if (loaded) return "loaded";
    EXPECT_THAT(loaded.error().message, testing::Not(HasSubstr("TENON_"))) << "who asked for it knows how";
    return loaded.error().message;
}

TEST(Plugins, BringTheirAlgorithms) {
    const auto loaded = load_plugins(std::vector<std::string>{MODULE_GOOD}, {.algorithms = {known_ring}});
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_EQ(loaded->algorithms.size(), 1U);
    EXPECT_EQ(loaded->algorithms.front().name, "own");
}

TEST(Plugins, SpeakAtTheLevelThatTheUserWants) {
    const auto loaded = load_plugins(std::vector<std::string>{MODULE_GOOD}, {.algorithms = {known_ring}});
    ASSERT_TRUE(loaded) << loaded.error().message;
    const auto said = [&](LogLevel level) {
        set_log_level(level);
        testing::internal::CaptureStderr();
        EXPECT_TRUE(loaded->algorithms.front().build(Request{}, Topology{}));
        return testing::internal::GetCapturedStderr();
    };
    EXPECT_EQ(said(LogLevel::error), "");
    EXPECT_THAT(said(LogLevel::debug), testing::AllOf(HasSubstr("warning: it is asked for a plan"),
                                                      HasSubstr("debug: it is asked for a plan")));
    EXPECT_THAT(said(LogLevel::warning),
                testing::AllOf(HasSubstr("warning: it is asked"), testing::Not(HasSubstr("debug: "))));
}

#ifdef MODULE_UCX
TEST(Plugins, TakeOverNoSignals) {
    const auto loaded = load_plugins(std::vector<std::string>{MODULE_UCX}, {});
    ASSERT_TRUE(loaded) << loaded.error().message;
    for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGHUP}) {
        struct sigaction now {};
        sigaction(signal, nullptr, &now);
        Dl_info at{};
        const bool is_somebodys = now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN &&
                                  dladdr(reinterpret_cast<void*>(now.sa_handler), &at) != 0;
        EXPECT_THAT(is_somebodys ? at.dli_fname : "", testing::Not(HasSubstr("libucs")));
    }
}
#endif

TEST(Plugins, ThatAreNotThereAreNamed) {
    EXPECT_THAT(refusal({"/nowhere/libown.so"}), HasSubstr("/nowhere/libown.so"));
}

TEST(Plugins, ThatAreNoModulesAreNamed) {
    EXPECT_THAT(refusal({__FILE__}), HasSubstr(__FILE__));
    EXPECT_THAT(refusal({MODULE_NONE}), testing::AllOf(HasSubstr(MODULE_NONE), HasSubstr("tenonPlugin")));
}

TEST(Plugins, OfAnotherVersionAreRefusedWithBoth) {
    EXPECT_THAT(refusal({MODULE_OLD}),
                testing::AllOf(HasSubstr(MODULE_OLD), HasSubstr("version 999"), HasSubstr("build it again")));
}

TEST(Plugins, BuiltInAnotherWayAreRefusedWithBothTags) {
    EXPECT_THAT(refusal({MODULE_OTHER}),
                testing::AllOf(HasSubstr(MODULE_OTHER), HasSubstr("another compiler's"), HasSubstr("libstdc++")));
}

TEST(Plugins, WithANameThatIsTakenAreRefused) {
    EXPECT_THAT(refusal({MODULE_TAKEN}),
                testing::AllOf(HasSubstr(MODULE_TAKEN), HasSubstr("ring"), HasSubstr("all_reduce")));
    EXPECT_THAT(refusal({MODULE_GOOD, MODULE_GOOD}), HasSubstr("own")) << "the same one twice";
}

}  // namespace
}  // namespace tenon
