// The words for parts of a plan, as the verifier, the printers and the JSON reader use them. Stateless, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tenon/plugin/plan.hpp"

namespace tenon {

std::string_view name_of(BufferId buffer);
std::string name_of(const Chunk& chunk);  // "input 3", "scratch 0..2"; "nothing" where the chunk is empty
std::string name_of_peer(Rank peer);      // "rank 3", "everyone"

std::optional<BufferId> buffer_named(std::string_view name);
std::optional<StepKind> step_kind_named(std::string_view name);

}  // namespace tenon
