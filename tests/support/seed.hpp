// The seed of a test run's random inputs: the environment variable TENON_TEST_SEED, or a new one. A test that fails
// prints it.
#pragma once

#include <cstdint>
#include <random>

namespace tenon::support {

std::uint64_t test_seed();
// A generator of its own for each purpose, so that what one draws does not move the others.
std::mt19937_64 random_generator(std::uint64_t purpose = 0);

}  // namespace tenon::support
