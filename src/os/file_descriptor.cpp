#include "os/file_descriptor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "os/system_error.hpp"

namespace tenon::os {

void FileDescriptor::close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
}

Result<FileDescriptor> FileDescriptor::duplicate() const {
    const int copy = fcntl(number_, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return system_error("cannot duplicate a file descriptor");
    return FileDescriptor{copy};
}

}  // namespace tenon::os
