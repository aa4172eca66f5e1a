// Exceptions end where they are understood: inside, errors are values.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "tenon/plugin/types.hpp"

namespace tenon {

// What the exception being handled means. Another than std::exception goes on (a thread that is cancelled must end).
inline Error error_of_current_exception() {
    try {
        throw;
    } catch (const std::bad_alloc&) {
        return {Status::system_error, "out of memory"};
    } catch (const std::exception& e) {
        return {Status::internal_error, std::string("a defect of Tenon: ") + e.what()};
    }
}

}  // namespace tenon
