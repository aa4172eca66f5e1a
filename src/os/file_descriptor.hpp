// A file descriptor that closes itself. Move-only; every descriptor that Tenon opens is close-on-exec.
#pragma once

#include <cstdint>
#include <utility>

#include "tenon/plugin/types.hpp"

namespace tenon::os {

class FileDescriptor {
public:
    FileDescriptor() = default;
    explicit FileDescriptor(int number) : number_{number} {}
    FileDescriptor(FileDescriptor&& other) noexcept
        : number_{std::exchange(other.number_, -1)}, kept_in_{other.kept_in_} {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        if (this != &other) {
            close();
            number_ = std::exchange(other.number_, -1);
            kept_in_ = other.kept_in_;
        }
        return *this;
    }
    ~FileDescriptor() { close(); }

    bool valid() const { return number_ >= 0; }
    int number() const { return number_; }
    void close();  // also what the destructor does; harmless twice
    // From now on a forked child closes it at once, so that its other side learns when this process dies, whatever its
    // children do.
    void keep_from_children();
    // False in a forked child for what was kept from it: its number may mean something else there.
    bool is_of_this_process() const;
    Result<FileDescriptor> duplicate() const;

private:
    int number_ = -1;
    std::uint32_t kept_in_ = 0;  // kept from the children of the process of this generation; 0: not kept
};

}  // namespace tenon::os
