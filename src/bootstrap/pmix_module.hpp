// What the module tenon_pmix.so gives the library: the way to the server that a launcher with PMIx (Open MPI's
// mpirun, srun --mpi=pmix) runs on every host of a job. The module alone links libpmix.
//
// put and get may be called by several threads at a time, and beside an MPI of the same process.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tenon/plugin/module.hpp"

namespace tenon::bootstrap {

struct PmixModule {
    std::uint32_t version;  // pmix_module_version
    const char* build_tag;  // TENON_BUILD_TAG
    // Hands the text to the server for whoever asks for what this process says. Waits for nobody but the server.
    Result<void> (*put)(const std::string& text);
    // What rank 0 of the job has put: waits until it has. Nothing once `is_over`, asked again and again, says so.
    Result<std::optional<std::string>> (*get)(const std::function<bool()>& is_over);
    // The last call, at the end of the process: launchers take one for lost that ends without it.
    void (*leave)();
};
inline constexpr std::uint32_t pmix_module_version = 1;
inline constexpr const char* pmix_module_symbol = "tenonPmix";

}  // namespace tenon::bootstrap
