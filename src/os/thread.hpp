// Starts a thread; an Error, not an exception, when the system has no room for one.
#pragma once

#include <system_error>
#include <thread>

#include "os/system_error.hpp"

namespace tenon::os {

template <class Body>
Result<std::thread> start_thread(Body body) {
    try {
        return std::thread{std::move(body)};
    } catch (const std::system_error& problem) {
        return system_error("cannot start a thread", problem.code().value());
    }
}

}  // namespace tenon::os
