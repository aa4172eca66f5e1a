#include "selection/selection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace tenon {

ByteCount large_buffer_bytes(const Request& request) {
    const bool blocks = request.collective != Collective::all_reduce && request.collective != Collective::broadcast &&
                        request.collective != Collective::reduce;
    return {request.count.value * element_bytes(request.type) *
            (blocks ? static_cast<std::uint64_t>(request.rank_count) : 1)};
}

Result<Selection> Selection::make(std::span<const Algorithm> algorithms, std::vector<AlgorithmChoice> forced) {
    const Selection selection(algorithms, std::move(forced));
    for (const AlgorithmChoice& f : selection.forced_) {
        if (selection.find(f.collective, f.name) != nullptr) continue;
        std::string known;
        for (const Algorithm& a : algorithms)
            if (a.collective == f.collective) known += (known.empty() ? "" : ", ") + std::string{a.name};
        return fail(Status::invalid_argument, fmt::format("TENON_ALGORITHM: {} has no algorithm '{}'; there are: {}",
                                                          name_of(f.collective), f.name, known));
    }
    return selection;
}

const Algorithm* Selection::find(Collective collective, std::string_view name) const {
    for (const Algorithm& a : algorithms_)
        if (a.collective == collective && a.name == name) return &a;
    return nullptr;
}

namespace {

bool forms_the_tree(const Algorithm& a, const Request& request) {
    return a.deterministic || request.rank_count == 1 ||
           (a.deterministic_by_powers && std::has_single_bit(static_cast<unsigned>(request.rank_count)) &&
            !is_narrow_float(request.type));
}

}  // namespace

std::string Selection::obstacle(const Algorithm& a, const Request& request) {
    const ByteCount block{request.count.value * element_bytes(request.type)};
    if (a.needs.power_of_two_ranks && !std::has_single_bit(static_cast<unsigned>(request.rank_count)))
        return fmt::format("needs a power of two of ranks, there are {}", request.rank_count);
    if (request.rank_count > a.needs.max_ranks)
        return fmt::format("serves at most {} ranks, there are {}", a.needs.max_ranks, request.rank_count);
    if (block > a.needs.max_bytes)
        return fmt::format("serves blocks of at most {} bytes, this is {}", a.needs.max_bytes.value, block.value);
    if (request.deterministic && reduces(request.collective) && !forms_the_tree(a, request))
        return fmt::format("does not add in the order of the tree{}, which deterministic mode requires",
                           a.deterministic_by_powers
                               ? ", unless the ranks are a power of two and the type is not an 8- or 16-bit float"
                               : "");
    return {};
}

namespace {

bool has_groups_of_several(const Topology& topology) {
    if (topology.levels.empty()) return false;
    const std::vector<std::int32_t>& group_of = topology.levels.front().group_of;
    const std::int32_t groups = 1 + std::ranges::max(group_of);
    return groups > 1 && groups < topology.rank_count;
}

std::string reason_of(const TableRow& row, bool shares_memory) {
    using Cores = TableRow::Cores;
    std::string why = shares_memory ? "measured table" : "measured table for networks";
    if (row.max_bytes != UINT64_MAX) why += fmt::format(", up to {} bytes", row.max_bytes);
    if (row.max_ranks < 1 << 20) why += fmt::format(", {} to {} ranks", row.min_ranks, row.max_ranks);
    else if (row.min_ranks > 1) why += fmt::format(", {} ranks or more", row.min_ranks);
    if (row.cores == Cores::few) why += ", fewer cores than ranks";
    if (row.cores == Cores::enough) why += ", a core for each rank";
    if (row.groups == TableRow::Groups::of_several_ranks) why += ", several ranks in a group";
    return why;
}

}  // namespace

Result<Choice> Selection::choose(const Request& request, const Topology& topology) const {
    const std::uint64_t bytes = large_buffer_bytes(request).value;
    if (const AlgorithmChoice* f = find_choice(forced_, request.collective, {bytes})) {
        const Algorithm* a = find(f->collective, f->name);
        if (const std::string why = obstacle(*a, request); !why.empty())
            return fail(Status::invalid_usage, fmt::format("TENON_ALGORITHM asks for {} in {}, but it {}", f->name,
                                                           name_of(f->collective), why));
        return Choice{a, "forced by configuration"};
    }
    const bool shares_memory = topology.has_boards;
    for (const TableRow& row : shares_memory ? measured_table() : measured_table_over_network()) {
        using Cores = TableRow::Cores;
        if (row.collective != request.collective || bytes > row.max_bytes || request.rank_count < row.min_ranks ||
            request.rank_count > row.max_ranks)
            continue;
        if (row.cores != Cores::any && (row.cores == Cores::few) != topology.cores_are_short()) continue;
        if (row.groups == TableRow::Groups::of_several_ranks && !has_groups_of_several(topology)) continue;
        const Algorithm* a = find(row.collective, row.algorithm);
        if (a == nullptr || !obstacle(*a, request).empty()) continue;
        return Choice{a, reason_of(row, shares_memory)};
    }
    for (const Algorithm& a : algorithms_)
        if (a.collective == request.collective && obstacle(a, request).empty())
            return Choice{&a, "the first that can serve it"};
    return fail(Status::invalid_usage, fmt::format("no algorithm can serve {} of {} bytes on {} ranks",
                                                   name_of(request.collective), bytes, request.rank_count));
}

}  // namespace tenon
