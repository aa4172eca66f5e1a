// Every type and operation against the reference, bit for bit, on every instruction set: all shapes of a call.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "reduction/kernels.hpp"
#include "tests/support/seed.hpp"
#include "tests/unit/reduction_elements.hpp"
#include "tests/unit/reduction_reference.hpp"
#include "tests/unit/reduction_targets.hpp"

namespace tenon {
namespace {

constexpr std::array<std::size_t, 17> counts = {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 1023, 1025};
constexpr std::size_t largest_count = 1025;
constexpr std::size_t margin_bytes = 128;

// Memory for one operand, at any alignment, with margins that must stay as they are.
class Operand {
public:
    Operand() : bytes_(2 * margin_bytes + largest_count * sizeof(std::uint64_t)) {}

    void place(std::size_t offset) { offset_ = offset; }
    void place_in_line_like(const std::byte* other) {
        offset_ = 0;
        offset_ = (reinterpret_cast<std::uintptr_t>(other) - reinterpret_cast<std::uintptr_t>(data())) % 64;
    }
    std::byte* data() { return bytes_.data() + margin_bytes / 2 + offset_; }
    void poison(std::size_t size) { std::memset(data() - margin_bytes / 2, 0xa5, size + margin_bytes); }
    bool margins_are_intact(std::size_t size) {
        const auto intact = [](std::byte b) { return b == std::byte{0xa5}; };
        return std::all_of(data() - margin_bytes / 2, data(), intact) &&
               std::all_of(data() + size, data() + size + margin_bytes / 2, intact);
    }

private:
    std::vector<std::byte> bytes_;
    std::size_t offset_ = 0;
};

struct Variant {
    bool in_place;
    bool second_destination;
    bool stream;
};

constexpr std::array<Variant, 8> variants = {{{false, false, false},
                                              {false, false, true},
                                              {false, true, false},
                                              {false, true, true},
                                              {true, false, false},
                                              {true, false, true},
                                              {true, true, false},
                                              {true, true, true}}};

class ReductionKernels : public testing::TestWithParam<DataType> {
protected:
    void check_count(std::size_t count, const ReduceArguments& shape, ReduceOp op, const Variant& variant) {
        const std::size_t size = count * element_bytes(type);
        std::vector<const void*> pointers;
        for (std::size_t i = 0; i < shape.source_count; ++i) {
            operands[i].place(random() % 64);
            operands[i].poison(size);
            std::memcpy(operands[i].data(), sources[i].data(), size);
            pointers.push_back(operands[i].data());
        }
        Operand& destination = variant.in_place ? operands[random() % shape.source_count] : output;
        if (!variant.in_place) {
            destination.place(random() % 2 == 0 ? random() % 64 : random() % 64 * element_bytes(type) % 64);
            destination.poison(size);
        }
        // Both are streamed only where they lie alike in their cache lines.
        second.place(random() % 64);
        if (random() % 2 == 0) second.place_in_line_like(destination.data());
        second.poison(size);

        ReduceArguments arguments = shape;
        arguments.destination = destination.data();
        arguments.second_destination = variant.second_destination ? second.data() : nullptr;
        arguments.sources = pointers.data();
        arguments.elements = count;
        arguments.stream_destination = variant.stream;
        arguments.stream_second = random() % 2 == 0;
        reduce_kernel(type, op)(arguments);

        expect_equal(destination, size, "destination");
        if (variant.second_destination) {
            expect_equal(second, size, "second destination");
        }
    }

    void expect_equal(Operand& actual, std::size_t size, const char* which) {
        ASSERT_TRUE(actual.margins_are_intact(size)) << which << ": wrote outside";
        if (std::memcmp(actual.data(), expected.data(), size) == 0) {
            return;
        }
        const ElementView got{type, actual.data()};
        const ElementView wanted{type, expected.data()};
        for (std::size_t i = 0; i < size / element_bytes(type); ++i) {
            ASSERT_EQ(got[i], wanted[i]) << which << ", element " << i;
        }
    }

    const DataType type = GetParam();
    std::mt19937_64 random = support::random_generator();
    std::vector<std::vector<std::byte>> sources;
    std::vector<std::byte> expected;
    std::vector<Operand> operands = std::vector<Operand>(33);
    Operand output;
    Operand second;
};

TEST_P(ReductionKernels, EqualTheReferenceInEveryShapeOfCall) {
    for (std::uint32_t source = 0; source < 33; ++source) {
        sources.push_back(random_elements(type, largest_count, random));
    }
    for (std::size_t op_index = 0; op_index < reduce_op_count; ++op_index) {
        const auto op = static_cast<ReduceOp>(op_index);
        for (const std::uint32_t source_count : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 9u, 16u, 33u}) {
            for (const double divisor : {1.0, 3.0, 300.0}) {
                ReduceArguments shape;
                shape.source_count = source_count;
                shape.divisor = divisor;
                expected = reference_result(type, op, std::span{sources}.first(source_count), divisor);
                for_each_reduction_target([&] {
                    for (const std::size_t count : counts) {
                        for (const Variant& variant : variants) {
                            check_count(count, shape, op, variant);
                            ASSERT_FALSE(HasFailure())
                                << name_of(op) << " of " << count << " elements of " << source_count
                                << " sources, divisor " << divisor << ", in place " << variant.in_place << ", second "
                                << variant.second_destination << ", stream " << variant.stream;
                        }
                    }
                });
                ASSERT_FALSE(HasFailure());
            }
        }
    }
}

TEST_P(ReductionKernels, ScaleEqualsTheReference) {
    sources = {random_elements(type, largest_count, random), random_elements(type, 16, random)};
    const ElementView source{type, sources[0].data()};
    const ElementView factors{type, sources[1].data()};
    for (std::size_t factor = 0; factor < 16; ++factor) {
        expected.resize(sources[0].size());
        const ElementView wanted{type, expected.data()};
        for (std::size_t i = 0; i < largest_count; ++i) {
            wanted.set(i, reference::scale(type, source[i], factors[factor]));
        }
        for_each_reduction_target([&] {
            for (const std::size_t count : counts) {
                const std::size_t size = count * element_bytes(type);
                for (const bool in_place : {false, true}) {
                    operands[0].place(random() % 64);
                    output.place(random() % 64);
                    output.poison(size);
                    operands[0].poison(size);
                    std::memcpy(operands[0].data(), sources[0].data(), size);
                    Operand& destination = in_place ? operands[0] : output;
                    scale_elements(type, destination.data(), operands[0].data(),
                                   sources[1].data() + factor * element_bytes(type), count);
                    expect_equal(destination, size, "destination");
                }
            }
        });
        ASSERT_FALSE(HasFailure()) << "factor " << std::hex << factors[factor];
    }
}

INSTANTIATE_TEST_SUITE_P(EveryType, ReductionKernels, testing::ValuesIn(every_data_type), type_name);

}  // namespace
}  // namespace tenon
