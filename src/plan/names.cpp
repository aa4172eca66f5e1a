#include "plan/names.hpp"

#include <fmt/format.h>

#include <array>

#include "base/assert.hpp"

namespace tenon {
namespace {

constexpr std::array<std::string_view, 3> buffers{"input", "output", "scratch"};

}  // namespace

std::string_view name_of(BufferId buffer) {
    const auto at = static_cast<std::size_t>(buffer);
    TENON_ASSERT(at < buffers.size(), "a buffer is one of BufferId's values");
    return buffers[at];
}

std::string name_of(const Chunk& chunk) {
    if (chunk.count == 0) return "nothing";
    if (chunk.count == 1) return fmt::format("{} {}", name_of(chunk.buffer), chunk.index);
    return fmt::format("{} {}..{}", name_of(chunk.buffer), chunk.index, chunk.index + chunk.count - 1);
}

std::string name_of_peer(Rank peer) { return peer == everyone ? "everyone" : fmt::format("rank {}", peer); }

std::optional<BufferId> buffer_named(std::string_view name) {
    for (std::size_t i = 0; i < buffers.size(); i++)
        if (buffers[i] == name) return static_cast<BufferId>(i);
    return std::nullopt;
}

std::optional<StepKind> step_kind_named(std::string_view name) {
    for (auto kind = StepKind::send;; kind = static_cast<StepKind>(static_cast<int>(kind) + 1)) {
        if (name_of(kind) == name) return kind;
        if (kind == StepKind::nothing) return std::nullopt;
    }
}

}  // namespace tenon
