// What every provider of devices must do, within one process; provider_process_test has what two processes must.
#include <gmock/gmock.h>

#include <cstring>

#include "reduction/kernels.hpp"
#include "tests/device/acl_machine.hpp"
#include "tests/device/devices.hpp"
#include "tests/support/pattern.hpp"
#include "tests/support/seed.hpp"

namespace tenon::support {
namespace {

using device::Key;
using ::testing::HasSubstr;

class ProviderTest : public ::testing::TestWithParam<std::string> {
protected:
    void SetUp() override {
        auto made = make_device_provider(GetParam());
        if (!made) GTEST_SKIP() << made.error().message;
        provider = std::move(*made);
        bench.emplace(*provider);
    }
    void TearDown() override {
        bench.reset();
        provider.reset();
        if (GetParam() == "emulated_acl") expect_nothing_left_of_acl();
    }
    device::Device& device() { return *bench->device; }
    device::Stream& stream() { return *bench->stream; }
    std::unique_ptr<device::Stream> another_stream() { return must(device().create_stream()); }

    std::unique_ptr<device::Provider> provider;
    std::optional<DeviceBench> bench;
};

INSTANTIATE_TEST_SUITE_P(, ProviderTest, ::testing::Values("emulated", "fake_cuda", "emulated_acl", "cuda", "ascend"),
                         [](const auto& given) { return given.param; });

TEST_P(ProviderTest, SaysWhatDevicesThereAre) {
    ASSERT_GT(provider->device_count(), 0U);
    const auto facts = must(provider->facts(0));
    EXPECT_FALSE(facts.name.empty());
    EXPECT_GT(facts.memory.value, 0U);
    EXPECT_GT(facts.notify_limit, 0U);
    EXPECT_GT(facts.independent_streams, 0U);
    EXPECT_EQ(must(provider->link(0, 0)).link_class, device::LinkClass::same);
    EXPECT_EQ(device().index(), 0U);
    EXPECT_EQ(device().facts().name, facts.name);
}

TEST_P(ProviderTest, RefusesADeviceThatIsNotThere) {
    const auto none = provider->device_count();
    EXPECT_THAT(refused(provider->open(none), Status::invalid_argument), HasSubstr(std::to_string(none)));
    refused(provider->facts(none), Status::invalid_argument);
    refused(provider->link(0, none), Status::invalid_argument);
}

TEST_P(ProviderTest, CopiesBetweenTheHostAndTheDevice) {
    constexpr std::size_t bytes = 100'003;
    const auto content = numbered_bytes(bytes, 1);
    const auto first = bench->allocate(bytes + 1), second = bench->allocate(bytes + 3);
    EXPECT_EQ(first->bytes().value, bytes + 1);
    bench->put(first->data() + 1, content);
    must(stream().copy(second->data() + 3, first->data() + 1, {bytes}));
    EXPECT_EQ(bench->get(second->data() + 3, bytes), content);
}

TEST_P(ProviderTest, CopiesOfAStreamRunInOrder) {
    constexpr std::size_t bytes = 1 << 20;
    const auto older = bench->allocate(bytes), newer = bench->allocate(bytes), target = bench->allocate(bytes);
    bench->put(older->data(), numbered_bytes(bytes, 1));
    bench->put(newer->data(), numbered_bytes(bytes, 2));
    for (int i = 0; i < 20; i++) {
        must(stream().copy(target->data(), older->data(), {bytes}));
        must(stream().copy(target->data(), newer->data(), {bytes}));
    }
    EXPECT_EQ(bench->get(target->data(), bytes), numbered_bytes(bytes, 2));
}

TEST_P(ProviderTest, NothingIsCopiedWhereNothingIsAsked) {
    must(stream().copy(nullptr, nullptr, {0}));
    must(stream().reduce(nullptr, nullptr, {0}, DataType::float32, ReduceOp::sum));
    must(stream().synchronize(patience_ms));
    EXPECT_TRUE(must(stream().idle()));
}

struct Shape {
    std::size_t elements, offset;  // both in elements
};

TEST_P(ProviderTest, ReducesAsTheHostDoesBitForBit) {
    auto random = random_generator();
    const auto first = bench->allocate(1 << 17), second = bench->allocate(1 << 17);
    for (std::size_t t = 0; t < data_type_count; t++)
        for (const ReduceOp op : {ReduceOp::sum, ReduceOp::prod, ReduceOp::max, ReduceOp::min}) {
            const auto type = static_cast<DataType>(t);
            if (!device().can_reduce(type, op)) continue;
            for (const Shape shape : {Shape{1, 0}, Shape{4099, 0}, Shape{8192, 0}, Shape{1000, 1}}) {
                SCOPED_TRACE(std::string{name_of(type)} + " " + std::string{name_of(op)} + ", " +
                             std::to_string(shape.elements) + " elements");
                const std::size_t width = element_bytes(type), bytes = shape.elements * width;
                std::vector<std::byte> one(bytes), other(bytes), expected(bytes);
                Pattern::random(type, shape.elements, Values::special, &op, random)
                    .write(one.data(), 0, shape.elements);
                Pattern::random(type, shape.elements, Values::special, &op, random)
                    .write(other.data(), 0, shape.elements);
                const void* const sources[] = {one.data(), other.data()};
                reduce_kernel(type, op)({.destination = expected.data(),
                                         .sources = sources,
                                         .source_count = 2,
                                         .elements = shape.elements});
                std::byte* const at = first->data() + shape.offset * width;
                bench->put(at, one);
                bench->put(second->data(), other);
                must(stream().reduce(at, second->data(), {shape.elements}, type, op));
                ASSERT_EQ(bench->get(at, bytes), expected);
            }
        }
}

TEST_P(ProviderTest, RefusesReductionsThatItCannotDo) {
    const auto memory = bench->allocate(64);
    std::vector<float> on_host(16);
    EXPECT_FALSE(device().can_reduce(DataType::float32, ReduceOp::avg));
    refused(stream().reduce(memory->data(), memory->data(), {1}, DataType::float32, ReduceOp::avg),
            Status::invalid_argument);
    refused(stream().reduce(on_host.data(), memory->data(), {1}, DataType::float32, ReduceOp::sum),
            Status::invalid_argument);
    must(stream().synchronize(patience_ms));
}

TEST_P(ProviderTest, KnowsWhoseMemoryAnAddressIs) {
    const auto memory = bench->allocate(4096);
    const int on_host = 0;
    EXPECT_EQ(must(device().locate(memory->data() + 100)).kind, device::MemoryKind::device);
    EXPECT_EQ(must(device().locate(memory->data())).device, 0U);
    EXPECT_EQ(must(device().locate(&on_host)).kind, device::MemoryKind::host);
}

TEST_P(ProviderTest, AStreamWaitsForANotifyAndResetsIt) {
    const auto notify = must(device().create_notify());
    const auto other = another_stream();
    const auto source = bench->allocate(256), target = bench->allocate(256);
    for (unsigned round = 1; round <= 3; round++) {
        bench->put(source->data(), numbered_bytes(256, round));
        must(other->wait(*notify));
        must(other->copy(target->data(), source->data(), {256}));
        EXPECT_FALSE(must(other->idle())) << "it did not wait in round " << round;
        refused(other->synchronize(20), Status::timeout);
        must(stream().record(*notify));
        must(other->synchronize(patience_ms));
        EXPECT_EQ(bench->get(target->data(), 256), numbered_bytes(256, round));
    }
}

TEST_P(ProviderTest, ANotifyThatWasRecordedBeforeIsNotWaitedFor) {
    const auto notify = must(device().create_notify());
    must(stream().record(*notify));
    must(stream().synchronize(patience_ms));
    must(stream().wait(*notify));
    must(stream().synchronize(patience_ms));
}

TEST_P(ProviderTest, ANewNotifyIsNotSetThoughItsPlaceWas) {
    {
        const auto notify = must(device().create_notify());
        must(stream().record(*notify));
        must(stream().synchronize(patience_ms));
    }
    const auto notify = must(device().create_notify());
    const auto other = another_stream();
    must(other->wait(*notify));
    EXPECT_FALSE(must(other->idle()));
    must(stream().record(*notify));
    must(other->synchronize(patience_ms));
}

TEST_P(ProviderTest, TwoStreamsSignalEachOtherWithoutTheHost) {
    constexpr int rounds = 200;
    const auto there = must(device().create_notify()), back = must(device().create_notify());
    const auto other = another_stream();
    const auto ball = bench->allocate(4), one = bench->allocate(4), sum = bench->allocate(4);
    const auto number = [](std::uint32_t value) {
        std::vector<std::byte> bytes(sizeof value);
        std::memcpy(bytes.data(), &value, sizeof value);
        return bytes;
    };
    bench->put(ball->data(), number(0));
    bench->put(one->data(), number(1));
    for (int i = 0; i < rounds; i++) {
        must(stream().reduce(ball->data(), one->data(), {1}, DataType::int32, ReduceOp::sum));
        must(stream().record(*there));
        must(stream().wait(*back));
        must(other->wait(*there));
        must(other->copy(sum->data(), ball->data(), {4}));
        must(other->reduce(ball->data(), sum->data(), {1}, DataType::int32, ReduceOp::max));
        must(other->reduce(ball->data(), one->data(), {1}, DataType::int32, ReduceOp::sum));
        must(other->record(*back));
    }
    must(stream().synchronize(patience_ms));
    EXPECT_EQ(bench->get(ball->data(), 4), number(2 * rounds));
}

TEST_P(ProviderTest, EventsOrderStreams) {
    const auto notify = must(device().create_notify());
    const auto event = must(device().create_event());
    const auto other = another_stream();
    const auto source = bench->allocate(256), middle = bench->allocate(256), target = bench->allocate(256);
    bench->put(source->data(), numbered_bytes(256, 5));
    must(stream().wait(*notify));
    must(stream().copy(middle->data(), source->data(), {256}));
    must(stream().record(*event));
    must(other->wait(*event));
    must(other->copy(target->data(), middle->data(), {256}));
    EXPECT_FALSE(must(event->reached()));
    EXPECT_FALSE(must(other->idle()));
    const auto third = another_stream();
    must(third->record(*notify));
    must(other->synchronize(patience_ms));
    EXPECT_TRUE(must(event->reached()));
    EXPECT_EQ(bench->get(target->data(), 256), numbered_bytes(256, 5));
}

TEST_P(ProviderTest, AnEventThatWasNeverRecordedIsNotWaitedFor) {
    const auto event = must(device().create_event());
    EXPECT_THAT(refused(stream().wait(*event), Status::invalid_usage), HasSubstr("never recorded"));
}

TEST_P(ProviderTest, EventsTellTheTimeBetweenThem) {
    const auto before = must(device().create_event()), after = must(device().create_event());
    const auto memory = bench->allocate(2 << 20);
    refused(after->ns_since(*before), Status::invalid_usage);
    must(stream().record(*before));
    must(stream().copy(memory->data(), memory->data() + (1 << 20), {1 << 20}));
    must(stream().record(*after));
    must(stream().synchronize(patience_ms));
    EXPECT_GT(must(after->ns_since(*before)), 0U);
}

TEST_P(ProviderTest, AnAbandonedStreamWaitsNoLonger) {
    const auto never = must(device().create_notify()), nor = must(device().create_notify());
    auto stuck = another_stream();
    const auto memory = bench->allocate(256);
    for (int i = 0; i < 3; i++) {
        must(stuck->wait(*never));
        must(stuck->wait(*nor));
        must(stuck->copy(memory->data() + 128, memory->data(), {128}));
    }
    refused(stuck->synchronize(20), Status::timeout);
    must(stuck->abandon(patience_ms));
    refused(stuck->copy(memory->data() + 128, memory->data(), {128}), Status::aborted);
    refused(stuck->synchronize(patience_ms), Status::aborted);
    // Others are not disturbed.
    must(stream().copy(memory->data() + 128, memory->data(), {128}));
    must(stream().synchronize(patience_ms));
}

TEST_P(ProviderTest, AStreamThatWaitsCanBeDestroyed) {
    const auto never = must(device().create_notify());
    auto stuck = another_stream();
    must(stuck->wait(*never));
    stuck.reset();
    const auto memory = bench->allocate(1 << 20);
    bench->put(memory->data(), numbered_bytes(1000, 3));
}

TEST_P(ProviderTest, SharesMemoryWithinAProcess) {
    const auto memory = bench->allocate(8192);
    bench->put(memory->data() + 4096, numbered_bytes(1000, 9));
    auto shared = must(device().share(memory->data() + 4096, {1000}, {}));
    {
        const auto imported = must(device().import_memory(shared->key()));
        EXPECT_EQ(imported->bytes().value, 1000U);
        EXPECT_EQ(bench->get(imported->data(), 1000), numbered_bytes(1000, 9));
    }
    must(shared->close());
}

TEST_P(ProviderTest, SharesNotifiesWithinAProcess) {
    const auto notify = must(device().create_notify());
    const auto imported = must(device().import_notify(must(notify->share({}))));
    const auto other = another_stream();
    must(other->wait(*notify));
    must(stream().record(*imported));
    must(other->synchronize(patience_ms));
    refused(stream().wait(*imported), Status::invalid_argument);
    refused(imported->share({}), Status::invalid_usage);
}

TEST_P(ProviderTest, RefusesToShareWhatIsNotItsMemory) {
    std::vector<std::byte> on_host(4096);
    refused(device().share(on_host.data(), {on_host.size()}, {}), Status::invalid_argument);
    const auto memory = bench->allocate(4096);
    refused(device().share(memory->data(), {std::uint64_t{1} << 40}, {}), Status::invalid_argument);
}

TEST_P(ProviderTest, RefusesKeysThatAreNone) {
    refused(device().import_memory(Key{}), Status::invalid_argument);
    refused(device().import_notify(Key{}), Status::invalid_argument);
    const auto memory = bench->allocate(4096);
    const auto shared = must(device().share(memory->data(), {4096}, {}));
    refused(device().import_notify(shared->key()), Status::invalid_argument);
    const auto notify = must(device().create_notify());
    refused(device().import_memory(must(notify->share({}))), Status::invalid_argument);
}

TEST_P(ProviderTest, SaysWhenThereIsNoMemoryLeft) {
    const auto wanted = device().facts().memory.value * 2;
    EXPECT_THAT(refused(device().allocate({.bytes = {wanted}}), Status::device_error),
                HasSubstr(std::to_string(wanted)));
    EXPECT_NE(bench->allocate(4096), nullptr);
}

TEST_P(ProviderTest, SaysWhenThereIsNoNotifyLeft) {
    std::vector<std::unique_ptr<device::Notify>> all;
    const auto limit = device().facts().notify_limit;
    for (std::uint32_t n = 0; n < limit; n++) {
        auto notify = device().create_notify();
        ASSERT_TRUE(notify.has_value()) << "the " << n << "th: " << notify.error().message;
        all.push_back(std::move(*notify));
    }
    EXPECT_THAT(refused(device().create_notify(), Status::device_error), HasSubstr(std::to_string(limit)));
    all.pop_back();
    EXPECT_NE(must(device().create_notify()), nullptr);
}

TEST_P(ProviderTest, DevicesReachEachOther) {
    if (provider->device_count() < 2) GTEST_SKIP() << "there is one device here, and this needs two";
    if (must(provider->link(0, 1)).link_class == device::LinkClass::none)
        GTEST_SKIP() << "devices 0 and 1 do not reach each other's memory";
    DeviceBench peer{*provider, 1};
    must(device().enable_peer(1));
    must(device().enable_peer(1));
    must(peer.device->enable_peer(0));
    const auto theirs = peer.allocate(4096), own = bench->allocate(4096);
    const auto shared = must(peer.device->share(theirs->data(), {4096}, {}));
    const auto imported = must(device().import_memory(shared->key()));
    const auto notify = must(peer.device->create_notify());
    const auto arrived = must(device().import_notify(must(notify->share({}))));
    bench->put(own->data(), numbered_bytes(4096, 3));
    must(peer.stream->wait(*notify));
    must(stream().copy(imported->data(), own->data(), {4096}));
    must(stream().record(*arrived));
    must(peer.stream->synchronize(patience_ms));
    EXPECT_EQ(peer.get(theirs->data(), 4096), numbered_bytes(4096, 3));
}

}  // namespace
}  // namespace tenon::support
