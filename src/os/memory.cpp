#include "os/memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

#include "os/system_error.hpp"

namespace tenon::os {
namespace {

constexpr std::uint64_t largest_file_bytes = std::numeric_limits<off_t>::max();

// The first number of a small file of the kernel's; nothing if the file is not there or says "max".
std::optional<std::uint64_t> number_in(const std::string& path) {
    std::ifstream file{path};
    std::uint64_t number = 0;
    if (file >> number) return number;
    return std::nullopt;
}

std::optional<std::uint64_t> available_by_system() {
    std::ifstream file{"/proc/meminfo"};
    std::string key, unit;
    for (std::uint64_t kibibytes = 0; file >> key >> kibibytes;) {
        if (key == "MemAvailable:") return kibibytes * 1024;
        std::getline(file, unit);
    }
    return std::nullopt;
}

std::optional<std::uint64_t> left_of(const std::string& limit_file, const std::string& used_file) {
    const auto limit = number_in(limit_file);
    const auto used = number_in(used_file);
    if (!limit || !used) return std::nullopt;
    return *limit > *used ? *limit - *used : 0;
}

std::optional<std::uint64_t> left_by_container() {
    const std::string version2 = "/sys/fs/cgroup/memory", version1 = "/sys/fs/cgroup/memory/memory";
    if (const auto left = left_of(version2 + ".max", version2 + ".current")) return left;
    return left_of(version1 + ".limit_in_bytes", version1 + ".usage_in_bytes");
}

std::string word_in(const std::string& path) {
    std::ifstream file{path};
    std::string word;
    file >> word;
    return word;
}

std::uint64_t cache_size_in_sysfs(std::uint64_t level) {
    for (int index = 0; index < 8; index++) {
        const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
        if (number_in(folder + "level") != level || word_in(folder + "type") == "Instruction") continue;
        return number_in(folder + "size").value_or(0) * 1024;  // the kernel writes "32K", always in KiB
    }
    return 0;
}

ByteCount cache_size(std::uint64_t level, int sysconf_name) {
    if (const std::uint64_t size = cache_size_in_sysfs(level)) return {size};
    return {static_cast<std::uint64_t>(std::max(0L, sysconf(sysconf_name)))};
}

}  // namespace

Result<void> grow_shared_memory(const FileDescriptor& memory, ByteCount bytes) {
    if (bytes.value > largest_file_bytes || ftruncate(memory.number(), static_cast<off_t>(bytes.value)) != 0)
        return system_error(fmt::format("cannot make {} bytes of shared memory", bytes.value),
                            bytes.value > largest_file_bytes ? EFBIG : errno);
    return {};
}

Result<FileDescriptor> create_shared_memory(const char* name, ByteCount bytes) {
    FileDescriptor memory{memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!memory.valid()) return system_error("cannot create shared memory (memfd_create)");
    if (auto grown = grow_shared_memory(memory, bytes); !grown) return std::unexpected(grown.error());
    if (fcntl(memory.number(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) return system_error("cannot seal shared memory");
    return memory;
}

Result<FileDescriptor> open_shared_memory(const std::string& path) {
    FileDescriptor memory{open(path.c_str(), O_RDWR | O_CLOEXEC)};
    if (!memory.valid()) return system_error(fmt::format("cannot open the shared memory {}", path));
    return memory;
}

Result<ByteCount> shared_memory_bytes(const FileDescriptor& memory) {
    struct stat facts {};
    if (fstat(memory.number(), &facts) != 0) return system_error("cannot read the size of shared memory");
    return ByteCount{static_cast<std::uint64_t>(facts.st_size)};
}

Result<Mapping> Mapping::map(int flags, int descriptor, ByteCount bytes) {
    if (bytes.value == 0) return fail(Status::invalid_argument, "cannot map 0 bytes of memory");
    void* at = mmap(nullptr, bytes.value, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, descriptor, 0);
    if (at == MAP_FAILED) return system_error(fmt::format("cannot map {} bytes of memory", bytes.value));
    return Mapping{std::span{static_cast<std::byte*>(at), bytes.value}};
}

Result<Mapping> Mapping::shared(const FileDescriptor& memory, ByteCount bytes) {
    return map(MAP_SHARED, memory.number(), bytes);
}

Result<Mapping> Mapping::anonymous(ByteCount bytes) { return map(MAP_PRIVATE | MAP_ANONYMOUS, -1, bytes); }

Mapping::~Mapping() {
    if (valid()) munmap(memory_.data(), memory_.size());
}

void bring_in(std::span<std::byte> memory) {
#ifdef MADV_POPULATE_WRITE
    const auto start = reinterpret_cast<std::uintptr_t>(memory.data());
    const std::uintptr_t first = start - start % page_bytes();
    static_cast<void>(madvise(reinterpret_cast<void*>(first), start + memory.size() - first, MADV_POPULATE_WRITE));
#else
    static_cast<void>(memory);
#endif
}

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

Result<ByteCount> available_memory() {
    const auto system = available_by_system();
    if (!system) return fail(Status::system_error, "/proc/meminfo does not say how much memory is available");
    return ByteCount{std::min(*system, left_by_container().value_or(*system))};
}

ByteCount pinned_memory_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return {UINT64_MAX};
    return {limit.rlim_cur};
}

bool can_pin(ByteCount bytes) {
    const auto memory = Mapping::anonymous(bytes);
    return memory && mlock(memory->data(), memory->size()) == 0;  // unmapping it ends that, too
}

std::string pinned_memory_advice() {
    const std::uint64_t limit = pinned_memory_limit().value;
    if (limit == UINT64_MAX) return "this process may pin as much memory as there is";
    return fmt::format(
        "this process may pin {} bytes of memory; raise that limit where ranks are started: ulimit -l unlimited in a "
        "shell, memlock in /etc/security/limits.conf for logins, LimitMEMLOCK=infinity for a systemd service such as "
        "slurmd, --ulimit memlock=-1 for a container",
        limit);
}

CacheSizes cache_sizes() {
    return {cache_size(1, _SC_LEVEL1_DCACHE_SIZE), cache_size(2, _SC_LEVEL2_CACHE_SIZE),
            cache_size(3, _SC_LEVEL3_CACHE_SIZE)};
}

}  // namespace tenon::os
