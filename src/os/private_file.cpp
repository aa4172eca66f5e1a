#include "os/private_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "os/file_descriptor.hpp"
#include "os/process.hpp"
#include "os/system_error.hpp"

namespace tenon::os {

Result<void> write_private_file(const std::string& path, std::string_view text) {
    const FileDescriptor file{
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR)};
    if (!file.valid()) return system_error(fmt::format("cannot create {}", path));
    while (!text.empty()) {
        const ssize_t written = ::write(file.number(), text.data(), text.size());
        if (written < 0 && errno != EINTR) return system_error(fmt::format("cannot write {}", path));
        if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

Result<std::string> read_private_file(const std::string& path, std::size_t most_bytes) {
    const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!file.valid()) return fail(Status::remote_error, fmt::format("{} is not there", path));
    struct stat facts {};
    if (::fstat(file.number(), &facts) != 0) return system_error(fmt::format("cannot look at {}", path));
    if (!S_ISREG(facts.st_mode) || facts.st_uid != user_id() || (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fail(Status::remote_error, fmt::format("{} is not a file that this user alone can write", path));
    std::string text(most_bytes, '\0');
    std::size_t filled = 0;
    while (filled < text.size()) {
        const ssize_t got = ::read(file.number(), text.data() + filled, text.size() - filled);
        if (got == 0) break;
        if (got < 0 && errno != EINTR) return system_error(fmt::format("cannot read {}", path));
        if (got > 0) filled += static_cast<std::size_t>(got);
    }
    text.resize(filled);
    return text;
}

}  // namespace tenon::os
