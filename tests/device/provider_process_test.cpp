// What every provider of devices must do between two processes: on two devices, or on the same one.
#include <gmock/gmock.h>

#include <cstring>

#include "tests/device/process_pair.hpp"

namespace tenon::support {
namespace {

// The second process takes the second device where there is one.
device::DeviceIndex device_of(const PairedProcess& process) {
    return static_cast<device::DeviceIndex>(process.rank()) % process.provider().device_count();
}

struct PairedBench : DeviceBench {
    explicit PairedBench(PairedProcess& process) : DeviceBench{process.provider(), device_of(process)} {
        for (device::DeviceIndex d = 0; d < process.provider().device_count() && d < 2; d++)
            must(device->enable_peer(d));
    }
};

class ProviderProcessTest : public ::testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(, ProviderProcessTest, ::testing::Values("emulated", "emulated_acl", "cuda", "ascend"),
                         [](const auto& given) { return given.param; });

TEST_P(ProviderProcessTest, EachWritesIntoTheOthersMemory) {
    run_pair(GetParam(), [](PairedProcess& process) {
        constexpr std::size_t bytes = 3'000'001, offset = 77;
        PairedBench bench{process};
        const auto memory = bench.allocate(bytes + offset), mine = bench.allocate(bytes);
        auto shared = must(bench.device->share(memory->data() + offset, {bytes}, {}));
        {
            const auto theirs = must(bench.device->import_memory(process.swap(shared->key())));
            EXPECT_EQ(theirs->bytes().value, bytes);
            const auto own_rank = static_cast<unsigned>(process.rank());
            bench.put(mine->data(), numbered_bytes(bytes, own_rank));
            must(bench.stream->copy(theirs->data(), mine->data(), {bytes}));
            must(bench.stream->synchronize(patience_ms));
            process.meet();
            EXPECT_EQ(bench.get(memory->data() + offset, bytes), numbered_bytes(bytes, 1 - own_rank));
        }
        process.meet();
        must(shared->close());
    });
}

// By turns, one sends what it has and the other adds it to its own: Fibonacci's numbers, as far as int32 goes.
TEST_P(ProviderProcessTest, StreamsSignalEachOtherWithoutTheHost) {
    run_pair(GetParam(), [](PairedProcess& process) {
        constexpr int rounds = 40;
        constexpr std::size_t elements = 1000, bytes = elements * sizeof(std::int32_t);
        PairedBench bench{process};
        const auto own = bench.allocate(bytes), slot = bench.allocate(bytes);
        std::vector<std::int32_t> numbers(elements, 1);
        must(bench.stream->copy(own->data(), numbers.data(), {bytes}));
        must(bench.stream->synchronize(patience_ms));
        const auto shared = must(bench.device->share(slot->data(), {bytes}, {}));
        const auto arrived = must(bench.device->create_notify());
        {
            const auto their_slot = must(bench.device->import_memory(process.swap(shared->key())));
            const auto there = must(bench.device->import_notify(process.swap(must(arrived->share({})))));
            for (int i = 0; i < rounds; i++)
                if (i % 2 == process.rank()) {
                    must(bench.stream->copy(their_slot->data(), own->data(), {bytes}));
                    must(bench.stream->record(*there));
                } else {
                    must(bench.stream->wait(*arrived));
                    must(bench.stream->reduce(own->data(), slot->data(), {elements}, DataType::int32, ReduceOp::sum));
                }
            must(bench.stream->synchronize(patience_ms));
            process.meet();
        }
        process.meet();
        std::int32_t expected[2] = {1, 1};
        for (int i = 0; i < rounds; i++) expected[1 - i % 2] += expected[i % 2];
        must(bench.stream->copy(numbers.data(), own->data(), {bytes}));
        must(bench.stream->synchronize(patience_ms));
        EXPECT_THAT(numbers, ::testing::Each(expected[process.rank()]));
    });
}

// Also large ones: what was copied before the signal is there when it comes.
TEST_P(ProviderProcessTest, WhatWasWrittenBeforeASignalIsThereAfterIt) {
    run_pair(GetParam(), [](PairedProcess& process) {
        constexpr std::size_t bytes = 4 << 20;
        constexpr unsigned rounds = 10;
        PairedBench bench{process};
        const auto slot = bench.allocate(bytes), copies = bench.allocate(bytes * rounds);
        const auto shared = must(bench.device->share(slot->data(), {bytes}, {}));
        const auto arrived = must(bench.device->create_notify()), taken = must(bench.device->create_notify());
        {
            const auto their_slot = must(bench.device->import_memory(process.swap(shared->key())));
            const auto tell = must(bench.device->import_notify(process.swap(must(arrived->share({})))));
            const auto free = must(bench.device->import_notify(process.swap(must(taken->share({})))));
            if (process.rank() == 0)
                for (unsigned i = 0; i < rounds; i++) bench.put(copies->data() + i * bytes, numbered_bytes(bytes, i));
            for (unsigned i = 0; i < rounds; i++)
                if (process.rank() == 0) {
                    must(bench.stream->copy(their_slot->data(), copies->data() + i * bytes, {bytes}));
                    must(bench.stream->record(*tell));
                    must(bench.stream->wait(*taken));
                } else {
                    must(bench.stream->wait(*arrived));
                    must(bench.stream->copy(copies->data() + i * bytes, slot->data(), {bytes}));
                    must(bench.stream->record(*free));
                }
            must(bench.stream->synchronize(patience_ms));
            process.meet();
        }
        process.meet();
        for (unsigned i = 0; i < rounds; i++)
            EXPECT_TRUE(bench.get(copies->data() + i * bytes, bytes) == numbered_bytes(bytes, i)) << "round " << i;
    });
}

TEST_P(ProviderProcessTest, AStreamWhosePeerDoesNotComeCanBeGivenUp) {
    run_pair(GetParam(), [](PairedProcess& process) {
        PairedBench bench{process};
        const auto arrived = must(bench.device->create_notify());
        {
            const auto there = must(bench.device->import_notify(process.swap(must(arrived->share({})))));
            if (process.rank() == 0) {
                must(bench.stream->wait(*arrived));
                refused(bench.stream->synchronize(50), Status::timeout);
                must(bench.stream->abandon(patience_ms));
            }
            process.meet();
        }
        process.meet();
    });
}

TEST_P(ProviderProcessTest, RefusesAKeyThatIsNone) {
    run_pair(GetParam(), [](PairedProcess& process) {
        PairedBench bench{process};
        refused(bench.device->import_memory(process.swap({})), Status::invalid_argument);
    });
}

}  // namespace
}  // namespace tenon::support
