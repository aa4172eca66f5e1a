// What the provider `ascend` says when ACL says no, over the emulated library; what it knows of links; and that the
// emulated library refuses what the hardware does.
#include <gmock/gmock.h>

#include <thread>

#include "tests/device/acl_machine.hpp"
#include "tests/device/devices.hpp"
#include "transports/device_link/ascend/acl_library.hpp"

namespace tenon::support {
namespace {

namespace abi = ascend::abi;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(AclLibrary, SaysWhichLibraryIsMissing) {
    EXPECT_THAT(refused(ascend_devices("libthereisnone.so"), Status::device_error),
                AllOf(HasSubstr("libthereisnone.so"), HasSubstr("LD_LIBRARY_PATH")));
}

TEST(AclLibrary, SaysWhichSymbolIsMissing) {
    EXPECT_THAT(refused(ascend_devices("libc.so.6"), Status::device_error),
                AllOf(HasSubstr("libc.so.6"), HasSubstr("aclInit"), HasSubstr("unknown version")));
}

TEST(AclLibrary, SaysThatItIsTooOld) {
    EXPECT_THAT(refused(ascend_devices(TENON_OLD_ACL), Status::device_error),
                AllOf(HasSubstr("aclrtGetSocName"), HasSubstr("1.2.3"), HasSubstr("too old")));
}

TEST(AclCodes, AreNamedWithWhatToDo) {
    EXPECT_EQ(ascend::in_words(207001), "ACL_ERROR_RT_MEMORY_ALLOCATION (207001), there is no memory left: free memory "
                                        "first, also of other processes");
    EXPECT_THAT(ascend::in_words(107999), AllOf(HasSubstr("107999"), HasSubstr("wrong parameter")));
}

class AscendTest : public ::testing::Test {
protected:
    void use(const AclShape& shape) {
        provider.reset();
        provider = must(AclMachine{shape}.provider());
    }
    void SetUp() override { use({.devices_per_server = 4}); }
    void TearDown() override {
        provider.reset();
        if (expects_nothing_wrong) expect_nothing_left_of_acl();
    }
    std::unique_ptr<device::Provider> provider;
    bool expects_nothing_wrong = true;
};

TEST_F(AscendTest, KnowsWhichDiesAreOfOneNpu) {
    EXPECT_EQ(must(provider->link(0, 1)).link_class, device::LinkClass::package);
    EXPECT_EQ(must(provider->link(1, 2)).link_class, device::LinkClass::server);
    EXPECT_EQ(must(provider->link(3, 2)).link_class, device::LinkClass::package);
    const auto facts = must(provider->facts(3));
    EXPECT_EQ(facts.place.chip, 1);
    EXPECT_EQ(facts.notify_limit, 8192U);
    EXPECT_FALSE(facts.reduces_from_peers);
}

TEST(DevicePlaces, SayWhatJoinsDevicesOfTwoServers) {
    using device::LinkClass;
    const device::DevicePlace die{.supernode = 1, .server = 2, .chip = 3};
    const auto link = [&](std::int64_t supernode, std::int64_t server, std::int64_t chip) {
        return device::link_between(die, {.supernode = supernode, .server = server, .chip = chip});
    };
    EXPECT_EQ(link(1, 2, 3), LinkClass::package);
    EXPECT_EQ(link(1, 2, 4), LinkClass::server);
    EXPECT_EQ(link(1, 5, 3), LinkClass::supernode);
    EXPECT_EQ(link(2, 2, 3), LinkClass::none);
    EXPECT_EQ(device::link_between({}, {}), LinkClass::none) << "nothing is known of them";
}

TEST_F(AscendTest, SaysThatADeviceIsHeldByAnother) {
    emulated_acl().fault("aclrtSetDevice", abi::device_setup);
    EXPECT_THAT(refused(provider->open(1), Status::device_error),
                AllOf(HasSubstr("Ascend device 1"), HasSubstr("aclrtSetDevice"),
                      HasSubstr("ACL_ERROR_RT_DEV_SETUP_ERROR (507033)"), HasSubstr("another process may hold it")));
}

// Whichever call fails, the error names it with device and code, and nothing stays behind.
class AscendFaultTest : public AscendTest, public ::testing::WithParamInterface<const char*> {
protected:
    // All that a rank does; the first error.
    Result<void> work() {
        auto opened = provider->open(2);
        if (!opened) return std::unexpected(opened.error());
        device::Device& npu = **opened;
        if (auto r = npu.enable_peer(1); !r) return r;
        auto memory = npu.allocate({.bytes = {100}});
        if (!memory) return std::unexpected(memory.error());
        auto far = npu.allocate({.bytes = {100}, .reach = device::Reach::supernode});
        if (!far) return std::unexpected(far.error());
        const device::ProcessNumber self = provider->process();
        for (device::Memory* const shared : {memory->get(), far->get()})
            for (const std::size_t named : {0, 1})
                if (auto r = npu.share(shared->data(), {100}, {&self, named}); !r) return std::unexpected(r.error());
        auto stream = npu.create_stream();
        if (!stream) return std::unexpected(stream.error());
        auto event = npu.create_event();
        if (!event) return std::unexpected(event.error());
        auto notify = npu.create_notify();
        if (!notify) return std::unexpected(notify.error());
        auto key = (*notify)->share({&self, 1});
        if (!key) return std::unexpected(key.error());
        auto imported = npu.import_notify(*key);
        if (!imported) return std::unexpected(imported.error());
        for (const auto& step : {std::function<Result<void>()>{[&] { return (*stream)->record(**imported); }},
                                 {[&] { return (*stream)->wait(**notify); }},
                                 {[&] { return (*stream)->copy((*memory)->data(), (*far)->data(), {100}); }},
                                 {[&] {
                                     return (*stream)->reduce((*memory)->data(), (*far)->data(), {10}, DataType::int32,
                                                              ReduceOp::max);
                                 }},
                                 {[&] { return (*stream)->record(**event); }},
                                 {[&] { return (*stream)->wait(**event); }},
                                 {[&] { return (*stream)->synchronize(patience_ms); }}})
            if (auto r = step(); !r) return r;
        const auto idle = (*stream)->idle();
        if (!idle) return std::unexpected(idle.error());
        const auto reached = (*event)->reached();
        if (!reached) return std::unexpected(reached.error());
        const auto time = (*event)->ns_since(**event);
        if (!time) return std::unexpected(time.error());
        return {};
    }
};

INSTANTIATE_TEST_SUITE_P(
    , AscendFaultTest,
    ::testing::Values("aclrtSetDevice", "aclrtGetCurrentContext", "aclrtDeviceCanAccessPeer",
                      "aclrtDeviceEnablePeerAccess", "aclrtMalloc", "aclrtMemGetAllocationGranularity",
                      "aclrtMallocPhysical", "aclrtReserveMemAddress", "aclrtMapMem", "aclrtMemSetAccess",
                      "aclrtIpcMemGetExportKey", "aclrtIpcMemSetImportPid", "aclrtMemExportToShareableHandleV2",
                      "aclrtMemSetPidToShareableHandleV2", "aclrtCreateStreamWithConfig", "aclrtSetStreamFailureMode",
                      "aclrtCreateEventExWithFlag", "aclrtCreateNotify", "aclrtNotifyGetExportKey",
                      "aclrtNotifySetImportPid", "aclrtNotifyImportByKey", "aclrtRecordNotify",
                      "aclrtWaitAndResetNotify", "aclrtMemcpyAsync", "aclrtReduceAsync", "aclrtRecordEvent",
                      "aclrtStreamWaitEvent", "aclrtSynchronizeStreamWithTimeout", "aclrtStreamQuery",
                      "aclrtQueryEventStatus", "aclrtEventElapsedTime"),
    [](const auto& given) { return given.param; });

TEST_P(AscendFaultTest, NamesTheCallThatFailedAndGivesAllBack) {
    must(work());
    emulated_acl().fault(GetParam(), abi::link_error);
    EXPECT_THAT(refused(work(), Status::device_error), AllOf(HasSubstr("Ascend device 2"), HasSubstr(GetParam()),
                                                             HasSubstr("ACL_ERROR_RT_LINK_ERROR (507056)")));
    emulated_acl().fault(GetParam(), abi::success);
}

TEST_F(AscendTest, SaysThatThereIsNoNotifyLeft) {
    use({.notify_limit = 3});
    DeviceBench bench{*provider};
    std::vector<std::unique_ptr<device::Notify>> all;
    for (int n = 0; n < 3; n++) all.push_back(must(bench.device->create_notify()));
    EXPECT_THAT(refused(bench.device->create_notify(), Status::device_error),
                AllOf(HasSubstr("aclrtCreateNotify"), HasSubstr("ACL_ERROR_RT_NO_NOTIFY_RESOURCE (207009)"),
                      HasSubstr("fewer channels")));
    all.pop_back();
    EXPECT_NE(must(bench.device->create_notify()), nullptr);
}

TEST_F(AscendTest, RefusesWhatHardwareDoesNotDoBeforeTheRuntimeIsAsked) {
    DeviceBench here{*provider, 0}, there{*provider, 1};
    must(here.device->enable_peer(1));
    const auto own = here.allocate(64), theirs = there.allocate(64);
    std::vector<std::byte> on_host(64);
    const auto sum = [&](void* into, const void* from) {
        return refused(here.stream->reduce(into, from, {4}, DataType::float32, ReduceOp::sum),
                       Status::invalid_argument);
    };
    EXPECT_THAT(sum(own->data(), theirs->data()), HasSubstr("another device's"));
    EXPECT_THAT(sum(theirs->data(), own->data()), HasSubstr("another device's"));
    EXPECT_THAT(sum(on_host.data(), own->data()), HasSubstr("the host's"));
    refused(here.stream->reduce(own->data(), own->data(), {4}, DataType::uint64, ReduceOp::sum),
            Status::invalid_argument);
    refused(here.stream->reduce(own->data(), own->data(), {4}, DataType::int32, ReduceOp::prod),
            Status::invalid_argument);
    EXPECT_THAT(refused(here.stream->copy(on_host.data(), theirs->data(), {64}), Status::invalid_argument),
                HasSubstr("another device's"));
    refused(here.stream->copy(on_host.data(), on_host.data() + 32, {32}), Status::invalid_argument);
    must(here.stream->copy(theirs->data(), own->data(), {64}));
    must(here.stream->synchronize(patience_ms));
}

TEST_F(AscendTest, ADeviceThatFailsInTheMiddleStopsItsStreams) {
    DeviceBench bench{*provider, 3};
    const auto other = must(bench.device->create_stream());
    const auto memory = bench.allocate(64);
    const auto notify = must(bench.device->create_notify());
    emulated_acl().fail_device(3, 2);
    for (int n = 0; n < 2; n++) must(bench.stream->copy(memory->data(), memory->data() + 32, {32}));
    must(bench.stream->synchronize(patience_ms));
    must(bench.stream->copy(memory->data(), memory->data() + 32, {32}));
    const auto says_so = AllOf(HasSubstr("Ascend device 3"), HasSubstr("ACL_ERROR_RT_DEVICE_MEM_ERROR (507053)"),
                               HasSubstr("take the device out of use"));
    EXPECT_THAT(refused(bench.stream->synchronize(patience_ms), Status::device_error), says_so);
    EXPECT_THAT(refused(bench.stream->record(*notify), Status::device_error), says_so) << "it does nothing more";
    must(other->wait(*notify));
    EXPECT_THAT(refused(other->synchronize(patience_ms), Status::device_error), says_so);
}

// The emulated library itself, by ACL's interface: what is wrong has the code that the real one gives, and is told.
class AclRulesTest : public AscendTest {
protected:
    void SetUp() override {
        AscendTest::SetUp();
        expects_nothing_wrong = false;
        acl = must(ascend::open_acl(emulated_acl_library()));
        ASSERT_EQ(acl.set_device(0), abi::success);
        ASSERT_EQ(acl.get_current_context(&first), abi::success);
        ASSERT_EQ(acl.create_stream(&stream, 0, 0), abi::success);
        ASSERT_EQ(acl.malloc(&memory, 4096, abi::MallocPolicy::huge_first), abi::success);
        ASSERT_EQ(acl.set_device(1), abi::success);
        ASSERT_EQ(acl.get_current_context(&second), abi::success);
        ASSERT_EQ(acl.malloc(&far, 4096, abi::MallocPolicy::huge_first), abi::success);
        ASSERT_EQ(acl.set_current_context(first), abi::success);
    }
    void expect_told(abi::Code given, abi::Code expected, const char* why) {
        EXPECT_EQ(given, expected) << why;
        EXPECT_THAT(emulated_acl().misuse(), HasSubstr(why));
    }
    abi::Code copy(void* to, const void* from, abi::MemcpyKind kind) {
        return acl.memcpy_async(to, 64, from, 64, kind, stream);
    }
    abi::Code sum(void* to, const void* from) {
        return acl.reduce_async(to, from, 64, abi::ReduceKind::sum, abi::ElementType::int32, stream, nullptr);
    }
    ascend::AclLibrary acl{};
    abi::Handle first = nullptr, second = nullptr, stream = nullptr;
    void *memory = nullptr, *far = nullptr;
};

TEST_F(AclRulesTest, StreamsReduceInTheirOwnDevicesMemory) {
    ASSERT_EQ(acl.enable_peer_access(1, 0), abi::success);
    EXPECT_EQ(sum(memory, memory), abi::success);
    EXPECT_STREQ(emulated_acl().misuse(), "");
    expect_told(sum(memory, far), abi::invalid_parameter, "aclrtReduceAsync: a stream reduces in its own device's");
}

TEST_F(AclRulesTest, CopiesAreOfTheKindThatTheyAre) {
    std::vector<std::byte> on_host(64);
    EXPECT_EQ(copy(memory, on_host.data(), abi::MemcpyKind::host_to_device), abi::success);
    EXPECT_STREQ(emulated_acl().misuse(), "");
    expect_told(copy(memory, on_host.data(), abi::MemcpyKind::device_to_host), abi::invalid_parameter, "the kind 2");
    expect_told(copy(on_host.data(), on_host.data(), abi::MemcpyKind::host_to_host), abi::feature_unsupported,
                "within the host");
    expect_told(copy(far, memory, abi::MemcpyKind::device_to_device), abi::scheduler_error, "enable_peer(1)");
}

TEST_F(AclRulesTest, StreamsAreOfOneContext) {
    ASSERT_EQ(acl.set_current_context(second), abi::success);
    expect_told(copy(memory, memory, abi::MemcpyKind::device_to_device), abi::stream_of_other_context,
                "not of this thread's context");
    std::thread{[&] { expect_told(sum(memory, memory), abi::no_context, "this thread has no context"); }}.join();
}

TEST_F(AclRulesTest, MemoryIsSharedByWholePagesAndNotWithinAProcess) {
    char key[abi::key_length];
    expect_told(acl.ipc_mem_get_export_key(static_cast<std::byte*>(memory) + 64, 4096, key, sizeof key, 0),
                abi::address_unaligned, "whole pages");
    expect_told(acl.ipc_mem_get_export_key(memory, 4096, key, 64, 0), abi::invalid_parameter, "65 bytes");
    ASSERT_EQ(acl.ipc_mem_get_export_key(memory, 4096, key, sizeof key, 0), abi::success);
    void* imported = nullptr;
    expect_told(acl.ipc_mem_import_by_key(&imported, key, 0), abi::driver_error, "none of its own");
    EXPECT_EQ(acl.ipc_mem_close(key), abi::success);
    expect_told(acl.ipc_mem_close(key), abi::invalid_parameter, "nothing is shared or imported");
}

TEST_F(AclRulesTest, HandlesAreOfWhatLives) {
    abi::Handle notify = nullptr;
    ASSERT_EQ(acl.create_notify(&notify, 0), abi::success);
    ASSERT_EQ(acl.destroy_notify(notify), abi::success);
    expect_told(acl.destroy_notify(notify), abi::invalid_handle, "aclrtDestroyNotify");
    expect_told(acl.record_notify(notify, stream), abi::invalid_handle, "aclrtRecordNotify");
    ASSERT_EQ(acl.free(memory), abi::success);
    expect_told(acl.free(memory), abi::invalid_parameter, "freed already");
    expect_told(copy(memory, memory, abi::MemcpyKind::device_to_device), abi::invalid_parameter, "not allocated");
    ASSERT_EQ(acl.destroy_stream(stream), abi::success);
    expect_told(acl.stream_abort(stream), abi::invalid_handle, "aclrtStreamAbort");
}

TEST_F(AclRulesTest, ASignalThatIsLostIsTold) {
    abi::Handle notify = nullptr;
    ASSERT_EQ(acl.create_notify(&notify, 0), abi::success);
    ASSERT_EQ(acl.record_notify(notify, stream), abi::success);
    ASSERT_EQ(acl.record_notify(notify, stream), abi::success);
    expect_told(acl.synchronize_stream(stream, 30'000), abi::scheduler_error, "a signal is lost");
}

}  // namespace
}  // namespace tenon::support
