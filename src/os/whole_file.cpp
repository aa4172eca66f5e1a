#include "os/whole_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "os/file_descriptor.hpp"

namespace tenon::os {
namespace {

// Without system_error's advice, which is about the library's own memory and limits.
std::unexpected<Error> refused(std::string_view tried, const std::string& path) {
    const std::string why = std::generic_category().message(errno);
    return fail(Status::system_error, fmt::format("cannot {} {}: {}", tried, path, why));
}

}  // namespace

Result<std::string> read_whole_file(const std::string& path, std::size_t most_bytes) {
    constexpr std::size_t piece = 1u << 16;
    const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file.valid()) return refused("read", path);
    std::string bytes;
    while (bytes.size() <= most_bytes) {
        const std::size_t filled = bytes.size();
        bytes.resize(filled + piece);
        const ssize_t got = ::read(file.number(), bytes.data() + filled, piece);
        if (got < 0 && errno != EINTR) return refused("read", path);
        bytes.resize(filled + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (got == 0) return bytes;
    }
    return fail(Status::invalid_argument, fmt::format("cannot read {}: it has more than {} bytes", path, most_bytes));
}

Result<void> write_whole_file(const std::string& path, std::string_view bytes) {
    constexpr mode_t everybody = 0666;  // less what the process's mask takes away
    const FileDescriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, everybody)};
    if (!file.valid()) return refused("write", path);
    while (!bytes.empty()) {
        const ssize_t written = ::write(file.number(), bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) return refused("write", path);
        if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

}  // namespace tenon::os
