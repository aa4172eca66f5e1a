// What networks do with all of a rank's connections alike.
#pragma once

#include <optional>
#include <utility>

#include "os/clock.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

// Asks each for a Result<bool>: true when all say true. An error of one keeps none of the others from being asked; the
// first is returned.
template <class Connections, class Ask>
Result<bool> ask_all(const Connections& connections, const Ask& ask) {
    bool all = true;
    std::optional<Error> first;
    for (const auto& connection : connections) {
        Result<bool> said = ask(connection);
        if (said) all &= *said;
        else if (!first) first = std::move(said.error());
    }
    if (first) return std::unexpected(std::move(*first));
    return all;
}

// When it is time again for what costs a system call: about every so often while a rank looks for messages, whose turns
// it must not slow down, and at once after the rank has slept.
class NowAndThen {
public:
    explicit NowAndThen(std::uint64_t every_ns) : every_ns_(every_ns) {}
    void slept() { slept_ = true; }
    bool is_due() {
        if (++turns_ < turns_between_looks_at_the_clock && !slept_) return false;
        turns_ = 0;
        slept_ = false;
        const std::uint64_t now = os::now_ns();
        if (now - last_ns_ < every_ns_) return false;
        last_ns_ = now;
        return true;
    }

private:
    static constexpr unsigned turns_between_looks_at_the_clock = 64;
    std::uint64_t every_ns_, last_ns_ = 0;
    unsigned turns_ = 0;
    bool slept_ = false;
};

}  // namespace tenon
