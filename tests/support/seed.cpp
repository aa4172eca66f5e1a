#include "tests/support/seed.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace tenon::support {
namespace {

class PrintsSeed final : public ::testing::EmptyTestEventListener {
    void OnTestPartResult(const ::testing::TestPartResult& result) override {
        if (result.failed())
            std::fprintf(stderr, "to repeat this: TENON_TEST_SEED=%llu\n",
                         static_cast<unsigned long long>(test_seed()));
    }
};

std::uint64_t choose_seed() {
    ::testing::UnitTest::GetInstance()->listeners().Append(new PrintsSeed);
    if (const char* given = std::getenv("TENON_TEST_SEED")) return std::strtoull(given, nullptr, 10);
    return std::random_device{}();
}

}  // namespace

std::uint64_t test_seed() {
    static const std::uint64_t seed = choose_seed();
    return seed;
}

std::mt19937_64 random_generator(std::uint64_t purpose) {
    std::seed_seq mixed{test_seed(), purpose, purpose >> 32};
    return std::mt19937_64(mixed);
}

}  // namespace tenon::support
