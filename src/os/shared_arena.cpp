#include "os/shared_arena.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <sys/stat.h>

#include <atomic>

#include "os/system_error.hpp"

namespace tenon::os {
namespace {

constexpr std::uint64_t arena_bytes = std::uint64_t{1} << 38;  // 256 GiB of address space

std::mutex making;
std::atomic<SharedArena*> current{nullptr};  // never freed: late peers and late frees may still look

// A forked child has its parent's mapping, but must not give out the same memory.
void forget_in_children() {
    static const int registered =
        pthread_atfork(nullptr, nullptr, [] { current.store(nullptr, std::memory_order_relaxed); });
    static_cast<void>(registered);
}

}  // namespace

Result<std::shared_ptr<const Mapping>> SharedArena::of_peer(const FileDescriptor& file) {
    static std::mutex mapping_one;
    // On the heap and never freed: threads may still ask while the process ends.
    static auto* const mapped = new std::map<std::pair<dev_t, ino_t>, std::weak_ptr<const Mapping>>;
    struct stat status {};
    if (fstat(file.number(), &status) != 0) return system_error("cannot look at a peer's shared memory");
    const std::scoped_lock lock(mapping_one);
    std::erase_if(*mapped, [](const auto& entry) { return entry.second.expired(); });
    auto& known = (*mapped)[{status.st_dev, status.st_ino}];
    if (auto alive = known.lock()) return alive;
    auto mapping = Mapping::shared(file, size());
    if (!mapping) return std::unexpected(mapping.error());
    auto shared = std::make_shared<const Mapping>(std::move(*mapping));
    known = shared;
    return shared;
}

ByteCount SharedArena::size() { return {arena_bytes}; }

SharedArena* SharedArena::if_made() { return current.load(std::memory_order_acquire); }

Result<SharedArena*> SharedArena::of_this_process() {
    const std::scoped_lock lock(making);
    if (SharedArena* made = if_made()) return made;
    auto file = create_shared_memory("tenon-arena", {arena_bytes});
    if (!file) return std::unexpected(file.error());
    auto mapping = Mapping::shared(*file, {arena_bytes});
    if (!mapping) return std::unexpected(mapping.error());
    auto* arena = new SharedArena(std::move(*file), std::move(*mapping));
    forget_in_children();
    current.store(arena, std::memory_order_release);
    return arena;
}

SharedArena::SharedArena(FileDescriptor file, Mapping mapping) : file_(std::move(file)), mapping_(std::move(mapping)) {
    free_[0] = arena_bytes;
}

Result<std::byte*> SharedArena::allocate(ByteCount bytes) {
    // Whole 2 MiB ranges for large blocks keep their pages apart from others' and aligned as the caller would wish.
    const std::uint64_t unit = bytes.value >= (1u << 20) ? 2u << 20 : page_bytes();
    if (bytes.value > arena_bytes - unit)
        return fail(Status::system_error,
                    fmt::format("cannot allocate {} bytes that peers can map; at most {} GiB in all", bytes.value,
                                arena_bytes >> 30));
    const std::uint64_t want = (bytes.value + unit - 1) / unit * unit;
    const std::scoped_lock lock(mutex_);
    for (auto& [offset, length] : free_) {
        const std::uint64_t start = (offset + unit - 1) / unit * unit;
        if (start + want > offset + length) continue;
        const std::uint64_t first = offset, end = offset + length;
        free_.erase(first);
        if (start > first) free_[first] = start - first;
        if (end > start + want) free_[start + want] = end - (start + want);
        allocated_[start] = want;
        return mapping_.data() + start;
    }
    return fail(Status::system_error,
                fmt::format("no room for {} bytes in the {} GiB that peers can map", bytes.value, arena_bytes >> 30));
}

std::optional<std::span<std::byte>> SharedArena::allocation_of(const void* bytes, std::size_t length) {
    const auto offset = offset_of(bytes, length);
    if (!offset) return std::nullopt;
    const std::scoped_lock lock(mutex_);
    auto at = allocated_.upper_bound(*offset);
    if (at == allocated_.begin()) return std::nullopt;
    --at;
    if (*offset + length > at->first + at->second) return std::nullopt;
    return std::span{mapping_.data() + at->first, at->second};
}

std::shared_ptr<void> SharedArena::on_release(std::function<void(std::span<std::byte>)> released) {
    const std::scoped_lock lock(telling_);
    told_.push_back(std::move(released));
    const auto at = std::prev(told_.end());
    return {nullptr, [this, at](void*) {
                const std::scoped_lock until_none_is_called(telling_);
                told_.erase(at);
            }};
}

// Its range is nobody's until all have been told and the pages are gone.
Result<void> SharedArena::release(void* memory) {
    const auto offset = offset_of(memory, 0);
    std::unique_lock lock(mutex_);
    const auto found = offset ? allocated_.find(*offset) : allocated_.end();
    if (found == allocated_.end())
        return fail(Status::invalid_argument,
                    fmt::format("{} was not allocated by tenonMemAlloc, or was freed before", memory));
    auto [start, length] = *found;
    allocated_.erase(found);
    lock.unlock();
    {
        const std::scoped_lock telling(telling_);
        for (const auto& released : told_) released({mapping_.data() + start, length});
    }
    lock.lock();
    if (fallocate(file_.number(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(start),
                  static_cast<off_t>(length)) != 0)
        return system_error("giving memory back to the system");
    auto next = free_.lower_bound(start);
    if (next != free_.end() && next->first == start + length) {
        length += next->second;
        next = free_.erase(next);
    }
    if (next != free_.begin() && std::prev(next)->first + std::prev(next)->second == start) {
        std::prev(next)->second += length;
    } else {
        free_[start] = length;
    }
    return {};
}

}  // namespace tenon::os
