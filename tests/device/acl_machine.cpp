#include "tests/device/acl_machine.hpp"

#include <gtest/gtest.h>

#include "os/shared_library.hpp"
#include "tests/device/devices.hpp"

namespace tenon::support {

std::string emulated_acl_library() { return TENON_EMULATED_ACL; }

const AclControl& emulated_acl() {
    using Entry = const AclControl*();
    static const auto& library = *new os::SharedLibrary{must(os::SharedLibrary::open(emulated_acl_library()))};
    static const AclControl& control = *must(library.symbol<Entry*>("emulatedAclControl"))();
    return control;
}

AclMachine::AclMachine(const AclShape& shape) : file_{emulated_acl().create(&shape)} {
    EXPECT_TRUE(file_.valid()) << "no memory for an emulated machine";
}

Result<std::unique_ptr<device::Provider>> AclMachine::provider(std::uint32_t server) const {
    EXPECT_TRUE(emulated_acl().use(file_.number(), server));
    return ascend_devices(emulated_acl_library());
}

void AclMachine::expect_nothing_left() const {
    EXPECT_TRUE(emulated_acl().use(file_.number(), 0));
    expect_nothing_left_of_acl();
}

void expect_nothing_left_of_acl() {
    AclUsage usage;
    emulated_acl().usage(&usage);
    EXPECT_EQ(usage, AclUsage{}) << "something was left behind";
    EXPECT_STREQ(emulated_acl().misuse(), "");
}

}  // namespace tenon::support
