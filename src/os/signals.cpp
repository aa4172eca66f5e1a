#include "os/signals.hpp"

namespace tenon::os {

SignalsKept::SignalsKept() {
    for (int signal = 1; signal < NSIG; signal++) {
        Kept kept{signal, {}};
        if (sigaction(signal, nullptr, &kept.action) == 0) kept_.push_back(kept);
    }
    if (sigaltstack(nullptr, &stack_) != 0) stack_.ss_flags = SS_DISABLE;
}

SignalsKept::~SignalsKept() {
    for (const Kept& kept : kept_) {
        struct sigaction now {};
        if (sigaction(kept.signal, nullptr, &now) == 0 && now.sa_sigaction != kept.action.sa_sigaction)
            sigaction(kept.signal, &kept.action, nullptr);
    }
    // Fails on the stack itself, where it cannot have been changed.
    if (stack_t now{}; sigaltstack(nullptr, &now) == 0 && now.ss_sp != stack_.ss_sp) sigaltstack(&stack_, nullptr);
}

}  // namespace tenon::os
