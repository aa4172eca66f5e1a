#include "os/shared_library.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

namespace tenon::os {
namespace {

std::string last_problem() {
    const char* problem = dlerror();
    return problem != nullptr ? problem : "the loader does not say why";
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

std::string folder_of(const void* address) {
    Dl_info info{};
    if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) return {};
    const std::string path = info.dli_fname;
    const std::size_t end = path.rfind('/');
    return end == std::string::npos ? "." : path.substr(0, end);
}

}  // namespace tenon::os
