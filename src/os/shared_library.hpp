// A library opened at run time: plugins, and vendors' libraries that may not be there. Closed when it dies. Move-only.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon::os {

class SharedLibrary {
public:
    // All of its symbols are resolved now, so that a missing one is an error here and not a crash later.
    static Result<SharedLibrary> open(const std::string& path);

    SharedLibrary(SharedLibrary&& other) noexcept
        : path_{std::move(other.path_)}, handle_{std::exchange(other.handle_, nullptr)} {}
    SharedLibrary& operator=(SharedLibrary&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~SharedLibrary();

    // `T` is the symbol's type: a function pointer or a pointer to data.
    template <class T>
    Result<T> symbol(const char* name) const {
        const auto address = find(name);
        if (!address) return std::unexpected(address.error());
        return reinterpret_cast<T>(*address);
    }

private:
    SharedLibrary(std::string path, void* handle) : path_{std::move(path)}, handle_{handle} {}
    Result<void*> find(const char* name) const;
    std::string path_;
    void* handle_ = nullptr;
};

// Where the modules that come with this library may lie: beside it, in tenon/; a program that has the library linked in
// finds them where the library would be, however the program was called.
std::vector<std::filesystem::path> module_folders();
// The module of this name in the first of these folders that has it.
std::optional<std::string> find_module(std::string_view file_name);

}  // namespace tenon::os
