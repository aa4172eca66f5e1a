#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <limits>

#include "os/memory.hpp"
#include "os/peer_memory.hpp"
#include "os/process.hpp"
#include "os/shared_library.hpp"

namespace tenon::os {
namespace {

TEST(SharedMemory, IsSeenThroughEveryMappingAndZeroAtFirst) {
    const auto memory = create_shared_memory("test", {1 << 20});
    ASSERT_TRUE(memory) << memory.error().message;
    EXPECT_EQ(shared_memory_bytes(*memory)->value, 1U << 20);
    const auto one = Mapping::shared(*memory, {1 << 20});
    const auto other = Mapping::shared(*memory, {1 << 20});
    ASSERT_TRUE(one && other);
    EXPECT_EQ(other->data()[12345], std::byte{0});
    one->data()[12345] = std::byte{7};
    EXPECT_EQ(other->data()[12345], std::byte{7});
}

TEST(SharedMemory, ATerabyteCostsNothingUntilTouched) {
    const ByteCount terabyte{1ULL << 40};
    const auto memory = create_shared_memory("test", terabyte);
    ASSERT_TRUE(memory) << memory.error().message;
    const auto mapping = Mapping::shared(*memory, terabyte);
    ASSERT_TRUE(mapping) << mapping.error().message;
    mapping->bytes().back() = std::byte{1};
    EXPECT_EQ(mapping->size(), terabyte.value);
}

TEST(SharedMemory, GrowsButNeverShrinks) {
    const auto memory = create_shared_memory("test", {8192});
    ASSERT_TRUE(memory);
    EXPECT_TRUE(grow_shared_memory(*memory, {16384}));
    const auto shrunk = grow_shared_memory(*memory, {4096});
    ASSERT_FALSE(shrunk);
    EXPECT_EQ(shrunk.error().status, Status::system_error);
    EXPECT_EQ(shared_memory_bytes(*memory)->value, 16384U);
}

TEST(SharedMemory, SaysWhyItCannotBeMade) {
    const auto memory = create_shared_memory("test", {std::numeric_limits<std::uint64_t>::max()});
    ASSERT_FALSE(memory);
    EXPECT_NE(memory.error().message.find("18446744073709551615 bytes"), std::string::npos) << memory.error().message;
    EXPECT_NE(memory.error().message.find("errno"), std::string::npos) << memory.error().message;
}

TEST(Mapping, MovesItsMemory) {
    auto one = Mapping::anonymous({page_bytes()});
    ASSERT_TRUE(one);
    one->data()[0] = std::byte{3};
    Mapping other = std::move(*one);
    EXPECT_FALSE(one->valid());
    EXPECT_EQ(other.data()[0], std::byte{3});
    EXPECT_FALSE(Mapping::anonymous({0}));
}

TEST(Machine, KnowsItsMemory) {
    const auto available = available_memory();
    ASSERT_TRUE(available) << available.error().message;
    EXPECT_GT(available->value, 0U);
    EXPECT_GE(page_bytes(), 4096U);
    const CacheSizes sizes = cache_sizes();
    EXPECT_TRUE(sizes.level2.value == 0 || sizes.level2 >= sizes.level1_data);
}

TEST(PeerMemory, NamesTheAddressThatCannotBeRead) {
    std::byte into[16];
    const auto read = read_peer_memory(process_id(), 64, into);
    ASSERT_FALSE(read);
    EXPECT_NE(read.error().message.find("0x40"), std::string::npos) << read.error().message;
}

TEST(SharedLibraryTest, FindsSymbolsAndNamesWhatIsMissing) {
    const auto math = SharedLibrary::open("libm.so.6");
    ASSERT_TRUE(math) << math.error().message;
    const auto cosine = math->symbol<double (*)(double)>("cos");
    ASSERT_TRUE(cosine);
    EXPECT_EQ((*cosine)(0.0), 1.0);
    const auto missing = math->symbol<void (*)()>("no_such_symbol");
    ASSERT_FALSE(missing);
    EXPECT_NE(missing.error().message.find("no_such_symbol"), std::string::npos);
    const auto absent = SharedLibrary::open("/nowhere/libabsent.so");
    ASSERT_FALSE(absent);
    EXPECT_NE(absent.error().message.find("/nowhere/libabsent.so"), std::string::npos);
}

TEST(Mapping, IsBroughtInWithoutChangingWhatIsInIt) {
    const std::size_t page = page_bytes();
    auto memory = Mapping::anonymous({8 * page});
    ASSERT_TRUE(memory);
    memory->data()[3 * page] = std::byte{7};
    bring_in({memory->data() + page + 1, 4 * page});
    unsigned char resident[8] = {};
    ASSERT_EQ(mincore(memory->data(), 8 * page, resident), 0);
    EXPECT_EQ(resident[7] & 1, 0) << "beyond what was asked for";
    if ((resident[1] & 1) == 0) GTEST_SKIP() << "this system brings no pages in";
    for (const std::size_t i : {1U, 2U, 3U, 4U, 5U}) EXPECT_EQ(resident[i] & 1, 1) << "page " << i;
    EXPECT_EQ(memory->data()[3 * page], std::byte{7});
    EXPECT_EQ(memory->data()[2 * page], std::byte{0});
}

}  // namespace
}  // namespace tenon::os
