// What the provider `cuda` says when the driver says no, over a fake driver; and that it gives back all that it took.
#include <gmock/gmock.h>

#include "tests/device/devices.hpp"
#include "transports/device_link/cuda/kernels.hpp"

namespace tenon::support {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Pair;

class CudaTest : public ::testing::Test {
protected:
    std::unique_ptr<device::Provider> provider() { return must(fake_cuda_provider(machine)); }
    std::shared_ptr<FakeMachine> machine = std::make_shared<FakeMachine>();
};

TEST(CudaDriver, SaysWhichLibraryIsMissing) {
    const auto opened = cuda::open_driver("libthereisnone.so.1");
    EXPECT_THAT(refused(opened, Status::device_error), AllOf(HasSubstr("libthereisnone.so.1"), HasSubstr("install")));
}

TEST(CudaDriver, SaysWhichSymbolIsMissing) {
    const auto opened = cuda::open_driver("libc.so.6");
    EXPECT_THAT(refused(opened, Status::device_error), AllOf(HasSubstr("cuInit"), HasSubstr("libc.so.6")));
}

TEST_F(CudaTest, SaysWhyThereIsNoGpu) {
    machine->faults["init"] = cuda::no_device;
    EXPECT_THAT(refused(fake_cuda_provider(machine), Status::device_error), HasSubstr("CUDA_ERROR_NO_DEVICE (100)"));
    machine->faults.clear();
    machine->gpus = 0;
    EXPECT_THAT(refused(fake_cuda_provider(machine), Status::device_error), HasSubstr("CUDA_VISIBLE_DEVICES"));
}

TEST_F(CudaTest, SaysThatTheDriverOrTheGpuIsTooOld) {
    machine->driver_version = 11080;
    EXPECT_THAT(refused(fake_cuda_provider(machine), Status::device_error),
                AllOf(HasSubstr("11.8"), HasSubstr("12.0")));
    machine->driver_version = 12000;
    machine->attributes[cuda::DeviceAttribute::compute_capability_major] = 7;
    EXPECT_THAT(refused(provider()->open(0), Status::device_error), AllOf(HasSubstr("7.0"), HasSubstr("8.0")));
    machine->attributes[cuda::DeviceAttribute::compute_capability_major] = 9;
    machine->attributes[cuda::DeviceAttribute::stream_waits_for_nor] = 0;
    EXPECT_THAT(refused(provider()->open(0), Status::device_error), HasSubstr("stream memory"));
    EXPECT_THAT(machine->held, Each(Pair(::testing::_, 0)));
}

// Whichever call fails as a device is opened, the error names it, and nothing stays behind.
class CudaOpenTest : public CudaTest, public ::testing::WithParamInterface<std::pair<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(, CudaOpenTest,
                         ::testing::Values(std::pair{"retain_primary_context", "cuDevicePrimaryCtxRetain"},
                                           std::pair{"create_stream", "cuStreamCreate"},
                                           std::pair{"load_module", "cuModuleLoadData"},
                                           std::pair{"launch", "cuLaunchKernel"}, std::pair{"allocate", "cuMemAlloc"},
                                           std::pair{"query_stream", "cuStreamQuery"}),
                         [](const auto& given) { return given.param.first; });

TEST_P(CudaOpenTest, NamesTheCallThatFailedAndGivesAllBack) {
    const auto here = provider();
    machine->faults[GetParam().first] = cuda::not_supported;
    EXPECT_THAT(refused(here->open(1), Status::device_error),
                AllOf(HasSubstr("GPU 1"), HasSubstr(GetParam().second), HasSubstr("CUDA_ERROR_NOT_SUPPORTED (801)")));
    EXPECT_THAT(machine->held, Each(Pair(::testing::_, 0)));
    EXPECT_TRUE(machine->blocks.empty());
}

TEST_F(CudaTest, AStreamThatFailedDoesNothingMore) {
    const auto here = provider();
    DeviceBench bench{*here};
    const auto memory = bench.allocate(64);
    machine->faults["copy"] = cuda::illegal_address;
    EXPECT_THAT(refused(bench.stream->copy(memory->data(), memory->data(), {8}), Status::device_error),
                AllOf(HasSubstr("cuMemcpyAsync"), HasSubstr("CUDA_ERROR_ILLEGAL_ADDRESS (700)")));
    machine->faults.clear();
    EXPECT_THAT(refused(bench.stream->copy(memory->data(), memory->data(), {8}), Status::device_error),
                HasSubstr("ILLEGAL_ADDRESS"));
    EXPECT_THAT(refused(bench.stream->synchronize(patience_ms), Status::device_error), HasSubstr("ILLEGAL_ADDRESS"));
}

TEST_F(CudaTest, SaysWhatToDoWhereMemoryCannotBeShared) {
    const auto here = provider(), there = provider();
    DeviceBench bench{*here};
    DeviceBench other{*there};
    const auto memory = bench.allocate(64);
    machine->faults["ipc_handle"] = cuda::invalid_value;
    EXPECT_THAT(refused(bench.device->share(memory->data(), {64}, {}), Status::device_error), HasSubstr("cudaMalloc"));
    machine->faults.clear();
    const auto shared = must(bench.device->share(memory->data(), {64}, {}));
    machine->faults["open_ipc_handle"] = cuda::not_supported;
    EXPECT_THAT(refused(other.device->import_memory(shared->key()), Status::device_error),
                AllOf(HasSubstr("cuIpcOpenMemHandle"), HasSubstr("both processes")));
}

TEST_F(CudaTest, GpusThatDoNotReachEachOtherSaySo) {
    machine->reach_each_other = false;
    const auto here = provider();
    DeviceBench bench{*here};
    EXPECT_EQ(must(here->link(0, 1)).link_class, device::LinkClass::none);
    EXPECT_THAT(refused(bench.device->enable_peer(1), Status::device_error), HasSubstr("0 and 1"));
}

// The fake's two drivers are two processes, so this goes the way of the handles that the driver gives out.
TEST_F(CudaTest, ProcessesShareMemoryAndNotifies) {
    {
        const auto here = provider(), there = provider();
        DeviceBench bench{*here}, other{*there};
        const auto memory = bench.allocate(8192);
        auto shared = must(bench.device->share(memory->data() + 4096, {1000}, {}));
        const auto imported = must(other.device->import_memory(shared->key()));
        const auto notify = must(bench.device->create_notify());
        const auto arrived = must(other.device->import_notify(must(notify->share({}))));
        const auto source = other.allocate(1000), result = bench.allocate(1000);
        other.put(source->data(), numbered_bytes(1000, 8));
        must(bench.stream->wait(*notify));
        must(bench.stream->copy(result->data(), memory->data() + 4096, {1000}));
        must(other.stream->copy(imported->data(), source->data(), {1000}));
        must(other.stream->record(*arrived));
        must(bench.stream->synchronize(patience_ms));
        EXPECT_EQ(bench.get(result->data(), 1000), numbered_bytes(1000, 8));
        must(other.stream->synchronize(patience_ms));
    }
    EXPECT_THAT(machine->held, Each(Pair(::testing::_, 0)));
    EXPECT_TRUE(machine->blocks.empty());
}

TEST(CudaKernels, ThereIsOneForEachTypeAndOperationThatIsClaimed) {
    const std::string ptx = cuda::kernels_ptx();
    EXPECT_EQ(cuda::kernel_ids().size(), 12U * 4U);
    for (const cuda::KernelId id : cuda::kernel_ids()) {
        EXPECT_TRUE(cuda::has_kernel(id.type, id.op));
        EXPECT_THAT(ptx, HasSubstr(".visible .entry " + cuda::kernel_name(id) + "("));
    }
    EXPECT_FALSE(cuda::has_kernel(DataType::float8_e4m3, ReduceOp::sum));
    EXPECT_FALSE(cuda::has_kernel(DataType::float32, ReduceOp::avg));
}

}  // namespace
}  // namespace tenon::support
