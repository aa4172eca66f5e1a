#include "interchange/msccl.hpp"

#include <fmt/format.h>

#include "interchange/msccl_plans.hpp"
#include "plan/verifier.hpp"

namespace tenon {
namespace {

// The verifier speaks of ranks, lanes and steps.
Error in_terms_of_file(const Error& error, std::string_view file) {
    return {error.status,
            fmt::format("{}: {} (rank, lane and step are the file's gpu, tb and step; lanes beyond a gpu's "
                        "thread blocks belong to steps that were split)",
                        file, error.message)};
}

}  // namespace

Result<MscclAlgorithm> read_msccl(std::string_view xml, std::string_view name_for_messages) {
    const Result<msccl::Program> program = msccl::parse_msccl(xml, name_for_messages);
    if (!program) return std::unexpected(program.error());
    const msccl::Cells cells{*program};
    const Result<msccl::Dataflow> flow = msccl::follow_data(*program, cells);
    if (!flow) return std::unexpected(flow.error());
    Result<std::vector<Plan>> plans = msccl::write_plans(*program, cells, *flow);
    if (!plans) return std::unexpected(plans.error());

    if (const auto apart = verify(*plans); !apart)
        return std::unexpected(in_terms_of_file(apart.error(), name_for_messages));
    const auto in_place = verify(*plans, {.in_place = true});
    if (!in_place && program->facts.in_place)
        return std::unexpected(in_terms_of_file(in_place.error(), name_for_messages));
    return MscclAlgorithm{.facts = program->facts, .plans = std::move(*plans), .in_place = in_place.has_value()};
}

}  // namespace tenon
