#include "os/file_descriptor.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "os/system_error.hpp"

namespace tenon::os {

namespace {

// Which numbers a forked child closes. A flag for each, since after a fork no lock may be taken.
constexpr int most_kept = 1 << 16;
std::array<std::atomic<bool>, most_kept> kept_from_children;

std::atomic<std::uint32_t> generation = 1;  // of processes: how often this one's ancestors have forked

void close_in_child() {
    generation.fetch_add(1, std::memory_order_relaxed);
    for (int number = 0; number < most_kept; number++)
        if (kept_from_children[static_cast<std::size_t>(number)].exchange(false, std::memory_order_relaxed))
            ::close(number);
}

}  // namespace

bool FileDescriptor::is_of_this_process() const { return kept_in_ == 0 || kept_in_ == generation.load(); }

void FileDescriptor::close() {
    if (number_ < 0) return;
    const int number = std::exchange(number_, -1);
    const bool is_own = is_of_this_process();
    if (std::exchange(kept_in_, 0) != 0 && is_own) kept_from_children[static_cast<std::size_t>(number)].store(false);
    if (is_own) ::close(number);
}

void FileDescriptor::keep_from_children() {
    static const bool armed = pthread_atfork(nullptr, nullptr, close_in_child) == 0;
    if (!armed || kept_in_ != 0 || number_ < 0 || number_ >= most_kept) return;
    kept_in_ = generation.load();
    kept_from_children[static_cast<std::size_t>(number_)].store(true);
}

Result<FileDescriptor> FileDescriptor::duplicate() const {
    const int copy = fcntl(number_, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) return system_error("cannot duplicate a file descriptor");
    return FileDescriptor{copy};
}

}  // namespace tenon::os
