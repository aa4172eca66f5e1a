// What the process does with signals belongs to its program, not to a library that it happens to load.
#pragma once

#include <csignal>
#include <vector>

namespace tenon::os {

// While it lives others may change what signals do (and the stack of this thread for them); then all is as it was.
class SignalsKept {
public:
    SignalsKept();
    ~SignalsKept();
    SignalsKept(const SignalsKept&) = delete;
    SignalsKept& operator=(const SignalsKept&) = delete;

private:
    struct Kept {
        int signal;
        struct sigaction action;
    };
    std::vector<Kept> kept_;
    stack_t stack_{};
};

}  // namespace tenon::os
