// A supernode of emulated NPUs behind the emulated libascendcl.so (tests/support/emulated_acl), over which the provider
// `ascend` runs as it is.
//
// A process is on one server of one machine at a time. Made before a fork, others are on it, too.
#pragma once

#include <memory>
#include <string>

#include "os/file_descriptor.hpp"
#include "tenon/plugin/device.hpp"
#include "tests/support/emulated_acl/control.hpp"

namespace tenon::support {

// The library, opened once and kept.
const AclControl& emulated_acl();
std::string emulated_acl_library();  // its path

class AclMachine {
public:
    explicit AclMachine(const AclShape& shape = {});
    // From now on this process is on that server of it.
    Result<std::unique_ptr<device::Provider>> provider(std::uint32_t server = 0) const;
    // What all processes had of it was given back.
    void expect_nothing_left() const;

private:
    os::FileDescriptor file_;
};

// Of the machine that this process is on: nothing was left behind, and nothing was done wrong.
void expect_nothing_left_of_acl();

}  // namespace tenon::support
