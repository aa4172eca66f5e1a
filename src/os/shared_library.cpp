#include "os/shared_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <link.h>

namespace tenon::os {
namespace {

std::string last_problem() {
    const char* problem = dlerror();
    return problem != nullptr ? problem : "the loader does not say why";
}

// The file that this library, or the program that has it linked in, was loaded from. For a program the loader has only
// the name by which it was called, which need not be a path.
std::filesystem::path own_file() {
    static const char here = 0;
    std::error_code ignored;
    Dl_info info{};
    link_map* loaded = nullptr;
    const bool is_known = dladdr1(&here, &info, reinterpret_cast<void**>(&loaded), RTLD_DL_LINKMAP) != 0;
    const bool is_library = is_known && loaded != nullptr && *loaded->l_name != '\0';
    if (is_library) return std::filesystem::absolute(loaded->l_name, ignored);
    return std::filesystem::read_symlink("/proc/self/exe", ignored);
}

}  // namespace

Result<SharedLibrary> SharedLibrary::open(const std::string& path) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return fail(Status::system_error, fmt::format("cannot load {}: {}", path, last_problem()));
    return SharedLibrary{path, handle};
}

SharedLibrary::~SharedLibrary() {
    if (handle_ != nullptr) dlclose(handle_);
}

Result<void*> SharedLibrary::find(const char* name) const {
    void* address = dlsym(handle_, name);
    if (address == nullptr)
        return fail(Status::system_error, fmt::format("{} has no symbol {}: {}", path_, name, last_problem()));
    return address;
}

std::vector<std::filesystem::path> module_folders() {
    const std::filesystem::path folder = own_file().lexically_normal().parent_path();
    return {folder / "tenon", folder.parent_path() / "lib" / "tenon",
            folder.parent_path() / TENON_LIBRARY_FOLDER / "tenon"};
}

std::optional<std::string> find_module(std::string_view file_name) {
    std::error_code ignored;
    for (const std::filesystem::path& folder : module_folders())
        if (const auto path = folder / file_name; std::filesystem::exists(path, ignored)) return path.string();
    return std::nullopt;
}

}  // namespace tenon::os
