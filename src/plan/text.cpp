#include <fmt/format.h>

#include <iterator>

#include "plan/names.hpp"
#include "plan/printer.hpp"

namespace tenon {
namespace {

std::string on_channel(Channel channel) {
    if (channel == board_channel) return " on the board";
    return channel == 0 ? "" : fmt::format(" on channel {}", channel);
}

// "output 1 = input 1 + rank 3's message -> rank 1": what is stored, from what, for whom.
std::string data_of(const Plan& plan, const Step& step) {
    std::string from;
    const auto add = [&from](const std::string& what) { from += (from.empty() ? "" : " + ") + what; };
    for (const Chunk& operand : plan.operands_of(step)) add(name_of(operand));
    if (reads_source(step.kind)) add(step.source.count == 0 ? "a token" : name_of(step.source));
    if (receives(step.kind))
        add(fmt::format("{}'s message{}", name_of_peer(step.receive_from), on_channel(step.receive_channel)));
    std::string words;
    if (writes_destination(step.kind) && step.destination.count != 0) words = name_of(step.destination) + " = ";
    words += from;
    if (sends(step.kind)) words += fmt::format(" -> {}{}", name_of_peer(step.send_to), on_channel(step.send_channel));
    return words;
}

std::string remarks_of(const Plan& plan, const Step& step) {
    std::string words;
    const auto add = [&words](std::string_view what) { words += fmt::format("{}{}", words.empty() ? "" : ", ", what); };
    for (const StepRef& earlier : plan.dependencies_of(step))
        add(fmt::format("after lane {} step {}", earlier.lane, earlier.step));
    if (step.completes) add("completes");
    if (step.source_stable) add("source stable");
    if (step.destination_free) add("destination free");
    if (step.answered) add("answered");
    if (step.exchanged) add("exchanged");
    return words.empty() ? words : "  [" + words + "]";
}

std::string tile_words(std::uint64_t tile_bytes) {
    if (tile_bytes == one_tile) return "chunks are not cut in tiles";
    return tile_bytes == 0 ? "tiles of one slot" : fmt::format("tiles of {} bytes", tile_bytes);
}

}  // namespace

std::string text_of(const Plan& plan) {
    std::string text;
    auto out = std::back_inserter(text);
    fmt::format_to(out, "{} {}, rank {} of {}", plan.algorithm, name_of(plan.collective), plan.rank, plan.rank_count);
    if (is_rooted(plan.collective)) fmt::format_to(out, ", root {}", plan.root);
    fmt::format_to(out, ": {} input and {} output blocks of {} pieces, {} scratch cells, {}\n", plan.input_blocks,
                   plan.output_blocks, plan.pieces, plan.scratch_cells, tile_words(plan.tile_bytes));
    for (std::size_t lane = 0; lane < plan.lanes.size(); lane++) {
        fmt::format_to(out, "lane {}\n", lane);
        const auto& steps = plan.lanes[lane].steps;
        for (std::size_t i = 0; i < steps.size(); i++)
            fmt::format_to(out, "{:6}  {:<24}  {}{}\n", i, name_of(steps[i].kind), data_of(plan, steps[i]),
                           remarks_of(plan, steps[i]));
    }
    return text;
}

}  // namespace tenon
