// A rank's part in a job of processes: joining by a unique id that rank 0 makes, and the C API's words for what
// happened.
#pragma once

#include <stdexcept>
#include <string>

#include "tests/support/c_calls.hpp"
#include "tests/support/rank_processes.hpp"

namespace tenon::multiprocess {

using support::RankProcess;
using support::RankProcesses;

inline void require(tenonResult_t result, tenonComm_t comm = nullptr) {
    if (result != tenonSuccess) throw std::runtime_error(support::outcome(result, comm));
}

inline tenonUniqueId shared_id(RankProcess& self) {
    tenonUniqueId id{};
    if (self.rank() == 0) require(tenonGetUniqueId(&id));
    self.share(std::as_writable_bytes(std::span(id.internal)));
    return id;
}

inline tenonComm_t join(RankProcess& self, tenonConfig_t config = TENON_CONFIG_INITIALIZER) {
    tenonComm_t comm = nullptr;
    require(tenonCommInitRankConfig(&comm, self.rank_count(), shared_id(self), self.rank(), &config));
    return comm;
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace tenon::multiprocess
