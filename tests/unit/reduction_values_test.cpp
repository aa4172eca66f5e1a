// The values that are easy to get wrong, and the edges of memory and mode: every narrow float, rounding of every pair
// of float8 and of many float16 and bfloat16, denormals and rounding under a changed floating-point mode, page ends,
// copies.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cfenv>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "reduction/kernels.hpp"
#include "tests/support/seed.hpp"
#include "tests/unit/reduction_elements.hpp"
#include "tests/unit/reduction_reference.hpp"
#include "tests/unit/reduction_targets.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tenon {
namespace {

std::vector<std::byte> reduced(DataType type, ReduceOp op, const std::vector<std::vector<std::byte>>& sources) {
    std::vector<std::byte> result(sources[0].size());
    std::vector<const void*> pointers;
    for (const std::vector<std::byte>& source : sources) {
        pointers.push_back(source.data());
    }
    ReduceArguments arguments;
    arguments.destination = result.data();
    arguments.sources = pointers.data();
    arguments.source_count = static_cast<std::uint32_t>(sources.size());
    arguments.elements = result.size() / element_bytes(type);
    reduce_kernel(type, op)(arguments);
    return result;
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
}

class NarrowFloats : public testing::TestWithParam<DataType> {
protected:
    const DataType type = GetParam();
    const std::size_t code_count = std::size_t{1} << (8 * element_bytes(type));

    std::vector<std::byte> every_code() const {
        std::vector<std::byte> codes(code_count * element_bytes(type));
        for (std::size_t code = 0; code < code_count; ++code) {
            ElementView{type, codes.data()}.set(code, code);
        }
        return codes;
    }
};

TEST_P(NarrowFloats, KeepEveryValueButCanonicaliseNaNs) {
    for_each_reduction_target([&] {
        const std::vector<std::byte> codes = every_code();
        const std::vector<std::byte> result = reduced(type, ReduceOp::sum, {codes});
        for (std::size_t code = 0; code < code_count; ++code) {
            const std::uint64_t wanted = reference::is_nan(type, code) ? reference::canonical_nan(type) : code;
            ASSERT_EQ((ElementView{type, result.data()}[code]), wanted) << "code " << code;
        }
    });
}

// Every float8 with every other; every float16 and bfloat16 with some, of which half are of a close magnitude, where
// sums tie most.
TEST_P(NarrowFloats, RoundToNearestEvenWithEveryPartner) {
    auto random = support::random_generator();
    const std::vector<std::byte> codes = every_code();
    const std::size_t partners = element_bytes(type) == 1 ? code_count : 16;
    for (std::size_t partner = 0; partner < partners; ++partner) {
        std::vector<std::byte> others(codes.size());
        for (std::size_t code = 0; code < code_count; ++code) {
            const std::size_t close = code ^ random() % (code_count / 16);
            const std::size_t some = partner % 2 == 0 ? random() : close;
            ElementView{type, others.data()}.set(code, element_bytes(type) == 1 ? partner : some);
        }
        const std::vector<std::vector<std::byte>> sources = {codes, others};
        for (std::size_t op_index = 0; op_index < reduce_op_count; ++op_index) {
            const auto op = static_cast<ReduceOp>(op_index);
            const std::vector<std::byte> wanted = reference_result(type, op, sources, 1);
            for_each_reduction_target([&] {
                const std::vector<std::byte> result = reduced(type, op, sources);
                for (std::size_t code = 0; code < code_count; ++code) {
                    ASSERT_EQ((ElementView{type, result.data()}[code]), (ElementView{type, wanted.data()}[code]))
                        << name_of(op) << " of " << code << " and " << ElementView{type, others.data()}[code];
                }
            });
            ASSERT_FALSE(HasFailure());
        }
    }
}

INSTANTIATE_TEST_SUITE_P(EveryNarrowFloat, NarrowFloats,
                         testing::Values(DataType::float16, DataType::bfloat16, DataType::float8_e4m3,
                                         DataType::float8_e5m2),
                         type_name);

TEST(ReductionValues, OverflowOfE4M3IsNaNAndOfE5M2IsInfinity) {
    for_each_reduction_target([] {
        const std::vector<std::byte> e4m3 = bytes_of(std::vector<std::uint8_t>{0x7e, 0xfe, 0x7e});   // 448, -448, 448
        const std::vector<std::byte> small = bytes_of(std::vector<std::uint8_t>{0x7e, 0xfe, 0x58});  // 448, -448, 16
        EXPECT_EQ(reduced(DataType::float8_e4m3, ReduceOp::sum, {e4m3, small}),
                  bytes_of(std::vector<std::uint8_t>{0x7f, 0x7f, 0x7e}));  // 464 ties between 448 and NaN's place
        const std::vector<std::byte> e5m2 = bytes_of(std::vector<std::uint8_t>{0x7b, 0xfb});
        EXPECT_EQ(reduced(DataType::float8_e5m2, ReduceOp::sum, {e5m2, e5m2}),
                  bytes_of(std::vector<std::uint8_t>{0x7c, 0xfc}));
    });
}

TEST(ReductionValues, NaNsComeOutTheSameWhicheverSourceHasThem) {
    const std::vector<std::byte> nans = bytes_of(std::vector<std::uint32_t>{0xffc01234, 0x7f800001, 0x7fc00000});
    const std::vector<std::byte> ones = bytes_of(std::vector<float>{1, 1, 1});
    const std::vector<std::byte> canonical = bytes_of(std::vector<std::uint32_t>{0x7fc00000, 0x7fc00000, 0x7fc00000});
    for_each_reduction_target([&] {
        for (const ReduceOp op : {ReduceOp::sum, ReduceOp::prod, ReduceOp::max, ReduceOp::min, ReduceOp::avg}) {
            EXPECT_EQ(reduced(DataType::float32, op, {nans, ones}), canonical) << name_of(op);
            EXPECT_EQ(reduced(DataType::float32, op, {ones, nans}), canonical) << name_of(op);
            EXPECT_EQ(reduced(DataType::float32, op, {ones, ones, nans, ones, ones}), canonical) << name_of(op);
        }
    });
}

TEST(ReductionValues, NegativeZeroIsBelowZero) {
    const std::vector<std::byte> negative = bytes_of(std::vector<double>(9, -0.0));
    const std::vector<std::byte> positive = bytes_of(std::vector<double>(9, 0.0));
    for_each_reduction_target([&] {
        EXPECT_EQ(reduced(DataType::float64, ReduceOp::max, {negative, positive}), positive);
        EXPECT_EQ(reduced(DataType::float64, ReduceOp::max, {positive, negative}), positive);
        EXPECT_EQ(reduced(DataType::float64, ReduceOp::min, {negative, positive}), negative);
        EXPECT_EQ(reduced(DataType::float64, ReduceOp::min, {positive, negative}), negative);
    });
}

TEST(ReductionMode, CallersRoundingModeChangesNothing) {
    auto random = support::random_generator();
    for (const DataType type : {DataType::float32, DataType::float64, DataType::float16, DataType::bfloat16}) {
        const std::vector<std::vector<std::byte>> sources = {random_elements(type, 100, random),
                                                             random_elements(type, 100, random)};
        const std::vector<std::byte> wanted = reference_result(type, ReduceOp::sum, sources, 1);
        for_each_reduction_target([&] {
            std::fesetround(FE_UPWARD);
            const std::vector<std::byte> result = reduced(type, ReduceOp::sum, sources);
            const int mode_after = std::fegetround();
            std::fesetround(FE_TONEAREST);
            EXPECT_EQ(result, wanted) << name_of(type);
            EXPECT_EQ(mode_after, FE_UPWARD);
        });
    }
}

#if defined(__x86_64__)
TEST(ReductionMode, DenormalsAreKeptWhereTheCallerFlushesThem) {
    constexpr unsigned flush_to_zero_and_denormals_are_zero = 0x8040;
    const float denormal = std::numeric_limits<float>::denorm_min();
    const std::vector<std::byte> source = bytes_of(std::vector<float>(5, denormal));
    const std::vector<std::byte> doubled = bytes_of(std::vector<float>(5, 2 * denormal));
    for_each_reduction_target([&] {
        const unsigned before = _mm_getcsr();
        _mm_setcsr(before | flush_to_zero_and_denormals_are_zero);
        const std::vector<std::byte> sum = reduced(DataType::float32, ReduceOp::sum, {source, source});
        const std::vector<std::byte> largest = reduced(DataType::float32, ReduceOp::max, {source, source, source});
        std::vector<std::byte> scaled(source.size());
        const std::uint32_t two = 0x40000000;
        scale_elements(DataType::float32, scaled.data(), source.data(), &two, 5);
        const unsigned after = _mm_getcsr();
        _mm_setcsr(before);
        EXPECT_EQ(sum, doubled);
        EXPECT_EQ(largest, source);
        EXPECT_EQ(scaled, doubled);
        EXPECT_NE(after & flush_to_zero_and_denormals_are_zero, 0u) << "the caller's mode was not restored";
    });
}
#endif

// A page of memory between two that may not be touched.
class GuardedPage {
public:
    GuardedPage() {
        start_ = static_cast<std::byte*>(mmap(nullptr, 3 * page_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(start_ + page_, page_, PROT_READ | PROT_WRITE);
    }
    ~GuardedPage() { munmap(start_, 3 * page_); }
    GuardedPage(const GuardedPage&) = delete;
    GuardedPage& operator=(const GuardedPage&) = delete;

    std::byte* first(std::size_t) { return start_ + page_; }
    std::byte* last(std::size_t size) { return start_ + 2 * page_ - size; }

private:
    std::size_t page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    std::byte* start_;
};

class MemoryEdges : public testing::TestWithParam<DataType> {};

TEST_P(MemoryEdges, NothingBeyondTheBuffersIsTouched) {
    std::array<GuardedPage, 4> pages;
    for_each_reduction_target([&] {
        for (const auto place : {&GuardedPage::first, &GuardedPage::last}) {
            for (std::uint64_t count = 0; count <= 130; ++count) {
                const std::size_t size = count * element_bytes(GetParam());
                const std::array<const void*, 3> sources = {(pages[0].*place)(size), (pages[1].*place)(size),
                                                            (pages[2].*place)(size)};
                for (std::uint32_t source_count = 1; source_count <= 3; ++source_count) {
                    ReduceArguments arguments;
                    arguments.destination = (pages[3].*place)(size);
                    arguments.sources = sources.data();
                    arguments.source_count = source_count;
                    arguments.elements = count;
                    arguments.stream_destination = count % 2 == 0;
                    reduce_kernel(GetParam(), ReduceOp::prod)(arguments);
                    reduce_kernel(GetParam(), ReduceOp::sum)(arguments);
                }
            }
        }
    });
}

INSTANTIATE_TEST_SUITE_P(EveryType, MemoryEdges, testing::ValuesIn(every_data_type), type_name);

class Copying : public testing::TestWithParam<void (*)(void*, const void*, std::size_t)> {};

TEST_P(Copying, CopiesEveryByteAndNoOther) {
    std::vector<std::byte> source(5000);
    for (std::size_t i = 0; i < source.size(); ++i) {
        source[i] = static_cast<std::byte>(i % 251);
    }
    for_each_reduction_target([&] {
        for (const std::size_t bytes : {0u, 1u, 63u, 64u, 95u, 96u, 97u, 200u, 511u, 512u, 513u, 1000u, 2047u, 2048u,
                                        4096u, 4500u}) {
            for (std::size_t offset = 0; offset < 70; ++offset) {
                std::vector<std::byte> destination(source.size() + 100, std::byte{0xa5});
                std::vector<std::byte> wanted = destination;
                std::memcpy(wanted.data() + offset, source.data() + 3 * offset, bytes);
                GetParam()(destination.data() + offset, source.data() + 3 * offset, bytes);
                ASSERT_EQ(destination, wanted) << bytes << " bytes at offset " << offset;
            }
        }
    });
}

std::string way_name(const testing::TestParamInfo<Copying::ParamType>& way) {
    return std::array{"bytes", "vectors", "streaming"}[way.index];
}

INSTANTIATE_TEST_SUITE_P(EveryWay, Copying, testing::Values(copy_bytes, copy_vectors, copy_streaming), way_name);

TEST(ReductionTarget, IsNamed) { EXPECT_STRNE(reduction_target(), "Unknown"); }

}  // namespace
}  // namespace tenon
