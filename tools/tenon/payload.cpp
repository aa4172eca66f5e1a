#include "tools/tenon/payload.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "selection/selection.hpp"

namespace tenon {
namespace {

struct LevelPayload {
    std::uint64_t bytes = 0, messages = 0;
    std::vector<std::uint64_t> out, in;  // by group inside
};

class Payload {
public:
    Payload(const Request& request, const Topology& topology)
        : request_(request), topology_(topology), levels_(topology.levels.size()) {
        for (LevelPayload& level : levels_)
            level.out.resize(static_cast<std::size_t>(topology.rank_count)),
                level.in.resize(static_cast<std::size_t>(topology.rank_count));
    }

    void add(const Plan& plan) {
        for (const Lane& lane : plan.lanes)
            for (const Step& step : lane.steps) {
                if (!sends(step.kind)) continue;
                const Chunk& chunk = writes_destination(step.kind) ? step.destination : step.source;
                const std::uint64_t bytes =
                    element_range(chunk, plan.pieces, request_.count, request_.type).count *
                    element_bytes(request_.type);
                if (bytes == 0) continue;
                if (step.send_to != everyone) add(plan.rank, step.send_to, bytes);
                for (Rank reader = 0; step.send_to == everyone && reader < plan.rank_count; reader++)
                    if (reader != plan.rank) add(plan.rank, reader, bytes);
            }
    }

    std::string in_words() const {
        const auto whole = static_cast<double>(std::max<std::uint64_t>(large_buffer_bytes(request_).value, 1));
        std::string words;
        for (std::size_t l = 0; l < levels_.size(); l++) {
            const LevelPayload& level = levels_[l];
            const std::uint64_t out = std::ranges::max(level.out), in = std::ranges::max(level.in);
            words += fmt::format(
                "within a {}, between its {}: {} bytes in {} messages; most out of one {} ({:.3f} of the "
                "buffer), most into one {} ({:.3f})\n",
                topology_.levels[l].name, l == 0 ? "ranks" : topology_.levels[l - 1].name + "s", level.bytes,
                level.messages, out, static_cast<double>(out) / whole, in, static_cast<double>(in) / whole);
        }
        return words;
    }

private:
    void add(Rank from, Rank to, std::uint64_t bytes) {
        const auto group = [&](std::size_t level, Rank rank) {
            return topology_.levels[level].group_of[static_cast<std::size_t>(rank)];
        };
        std::size_t level = 0;
        while (level + 1 < levels_.size() && group(level, from) != group(level, to)) level++;
        LevelPayload& here = levels_[level];
        here.bytes += bytes;
        here.messages++;
        here.out[static_cast<std::size_t>(level == 0 ? from : group(level - 1, from))] += bytes;
        here.in[static_cast<std::size_t>(level == 0 ? to : group(level - 1, to))] += bytes;
    }

    const Request& request_;
    const Topology& topology_;
    std::vector<LevelPayload> levels_;
};

}  // namespace

std::string payload_in_words(std::span<const Plan> plans, const Request& request, const Topology& topology) {
    if (topology.levels.empty()) return {};
    Payload payload{request, topology};
    for (const Plan& plan : plans) payload.add(plan);
    return payload.in_words();
}

}  // namespace tenon
