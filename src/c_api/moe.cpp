// MoE groups and handles: arguments in, and their way to the communicator: at once, or into a stream.
#include "tenon/moe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/exception.hpp"
#include "c_api/handles.hpp"
#include "communicator/moe.hpp"

using namespace tenon;
using namespace tenon::c_api;

struct tenonMoeGroup {
    std::uint64_t state = alive;
    tenonComm* comm;
    std::shared_ptr<MoeGroup> group;
};

struct tenonMoeHandle {
    std::uint64_t state = alive;
    tenonComm* comm;
    std::shared_ptr<MoeHandle> handle;
    // What tenonMoeGetCounts shows, made when it is first asked.
    std::mutex counts_mutex{};
    std::vector<int> experts{};
    std::vector<std::size_t> place_rows{}, place_offsets{}, sent_tokens{}, received_tokens{}, sent_entries{},
        received_entries{};
};

namespace {

bool is_good(tenonMoeGroup_t group) { return group != nullptr && group->state == alive; }
bool is_good(tenonMoeHandle_t handle) { return handle != nullptr && handle->state == alive; }

tenonResult_t refuse(const char* function, const char* what, tenonComm* comm = nullptr) {
    return refused(report(Status::invalid_argument, fmt::format("{}: {}", function, what), comm));
}
constexpr const char* no_group = "not a group that tenonMoeGroupCreate made";
constexpr const char* no_handle = "not a handle that tenonMoePrepare made";

// The turn of one call; ended when the last that holds it is gone.
class Turn {
public:
    explicit Turn(Communicator& communicator) : communicator_(communicator), ticket_(communicator.take_ticket()) {}
    ~Turn() {
        wait();
        communicator_.end_turn();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    void wait() const { communicator_.wait_for_turn(ticket_); }

private:
    Communicator& communicator_;
    std::uint64_t ticket_;
};

// Nothing thrown leaves it. An error that ended the communicator is told to its handle before the turn ends.
Result<void> run_in_turn(tenonComm* comm, std::shared_ptr<Turn> turn, const std::function<Result<void>()>& work) {
    turn->wait();
    Communicator& communicator = *comm->communicator;
    Result<void> result;
    try {
        result = work();
    } catch (const std::exception&) {
        result = std::unexpected(communicator.give_up(error_of_current_exception()));
    }
    if (!result && communicator.failure()) report(result.error(), comm);
    return result;
}

// Whether these calls may be made now, on this memory.
tenonResult_t may_issue(tenonComm* comm, tenonStream_t stream, const char* function,
                        std::initializer_list<const void*> buffers = {}) {
    if (!is_alive(comm)) return refused(refuse_handle(comm, function));
    const auto no = [&](Status status, std::string_view why) {
        return refused(report(status, fmt::format("{}: {}", function, why), comm));
    };
    if (in_group())
        return no(Status::invalid_usage,
                  "not inside a group; give each rank of a process a thread or a stream instead");
    if (comm->finalized) return no(Status::invalid_usage, "the communicator was finalized");
    if (stream != nullptr && stream->state != alive) return no(Status::invalid_argument, "not a stream");
    if (stream != nullptr && stream->host == nullptr)
        return no(Status::invalid_usage, "runs on the host: use a stream of tenonStreamCreate, or none");
    if (const std::string name = device_with_any_of(buffers); !name.empty())
        return no(Status::invalid_argument,
                  fmt::format("a buffer is memory of {}, and dispatch and combine are of the host's memory: copy it "
                              "there first (tenonDeviceMemcpyAsync)",
                              name));
    return tenonSuccess;
}

tenonResult_t issue(tenonComm* comm, tenonStream_t stream, const char* function, std::function<Result<void>()> work) {
    std::shared_ptr<Turn> turn;
    {
        const Inside inside(*comm);
        if (!is_alive(comm)) return refuse_handle(comm, function);
        turn = std::make_shared<Turn>(*comm->communicator);
    }
    if (stream != nullptr) {
        stream->host->put([=, work = std::move(work)]() mutable -> Result<void> {
            return run_in_turn(comm, std::move(turn), work);
        });
        return tenonSuccess;
    }
    const Result<void> result = run_in_turn(comm, std::move(turn), work);
    return result ? tenonSuccess : report(result.error(), comm);
}

// What a caller in C has put there, which may be none of the enumeration's values.
template <class Enumeration>
int number_in(const Enumeration& field) {
    static_assert(sizeof field == sizeof(int));
    int number = 0;
    std::memcpy(&number, &field, sizeof number);
    return number;
}

Result<std::vector<std::uint8_t>> mask_of(const unsigned char* masked, const Communicator& communicator) {
    if (masked == nullptr) return std::vector<std::uint8_t>{};
    std::vector<std::uint8_t> mask(masked, masked + communicator.rank_count());
    const auto odd = std::ranges::find_if(mask, [](std::uint8_t m) { return m > 1; });
    if (odd != mask.end())
        return fail(Status::invalid_argument, fmt::format("rank {}: MoE group: masked[{}] is {}; it must be 0 or 1",
                                                          communicator.rank(), odd - mask.begin(), *odd));
    // No rank masked, however it is said, is the same.
    if (std::ranges::count(mask, 1) == 0) mask.clear();
    return mask;
}

Result<MoeShape> shape_of(const tenonMoeConfig_t* config, const Communicator& communicator) {
    const auto wrong = [&](const std::string& what) {
        return fail(Status::invalid_argument, fmt::format("rank {}: MoE group: {}", communicator.rank(), what));
    };
    if (config == nullptr) return wrong("config is NULL");
    if (config->magic != TENON_MOE_CONFIG_MAGIC || config->size != sizeof(tenonMoeConfig_t))
        return wrong("the tenonMoeConfig_t was not made with this version's TENON_MOE_CONFIG_INITIALIZER");
    for (const auto& [value, name] : {std::pair{config->experts, "experts"}, {config->topK, "topK"},
                                      {config->alignment, "alignment"}})
        if (value < 1) return wrong(fmt::format("{} is {}; it must be at least 1", name, value));
    const int dispatch_type = number_in(config->dispatchType), combine_type = number_in(config->combineType),
              token_type = number_in(config->tokenType);
    for (const auto& [type, name] :
         {std::pair{dispatch_type, "dispatchType"}, {combine_type, "combineType"}, {token_type, "tokenType"}})
        if (type < 0 || static_cast<std::size_t>(type) >= data_type_count)
            return wrong(fmt::format("{}: there is no data type {}", name, type));
    if (const int layout = number_in(config->layout); layout != tenonMoeExpertMajor && layout != tenonMoeRankMajor)
        return wrong(fmt::format("there is no layout {}", layout));
    if (const int path = number_in(config->path); path < tenonMoeFlat || path > tenonMoeAuto)
        return wrong(fmt::format("there is no path {}", path));
    if (config->float32Partials != 0 && config->float32Partials != 1)
        return wrong(fmt::format("float32Partials is {}; it must be 0 or 1", config->float32Partials));
    MoeShape shape{.experts = static_cast<std::uint32_t>(config->experts),
                   .top_k = static_cast<std::uint32_t>(config->topK),
                   .hidden = config->hidden,
                   .most_tokens = config->maxTokens,
                   .dispatch_type = static_cast<DataType>(dispatch_type),
                   .combine_type = static_cast<DataType>(combine_type),
                   .layout = static_cast<MoeLayout>(config->layout),
                   .path = static_cast<MoePath>(config->path),
                   .window_bytes = config->windowBytes != 0 ? config->windowBytes : usual_window_bytes,
                   .alignment = static_cast<std::uint32_t>(config->alignment)};
    if (config->dropMissing != 0 && config->dropMissing != 1)
        return wrong(fmt::format("dropMissing is {}; it must be 0 or 1", config->dropMissing));
    shape.drops_missing = config->dropMissing == 1;
    auto mask = mask_of(config->masked, communicator);
    if (!mask) return std::unexpected(mask.error());
    shape.masked = std::move(*mask);
    shape.token_type = shape.is_quantised() ? static_cast<DataType>(token_type) : shape.dispatch_type;
    shape.partial_type = config->float32Partials == 1 ? DataType::float32 : shape.combine_type;
    if (config->placement == nullptr) {
        if (config->placesPerRank != 0) return wrong("placesPerRank is given, but placement is NULL");
        if (shape.experts > most_experts)
            return wrong(fmt::format("experts is {}; at most {}", shape.experts, most_experts));
        place_in_blocks(shape, communicator.rank_count());
    } else {
        if (config->placesPerRank < 1 || config->placesPerRank > static_cast<int>(most_places_of_rank))
            return wrong(fmt::format("placesPerRank is {}; with a placement it must be in [1, {}]",
                                     config->placesPerRank, most_places_of_rank));
        shape.places_per_rank = static_cast<std::uint32_t>(config->placesPerRank);
        shape.placement.assign(
            config->placement,
            config->placement + static_cast<std::size_t>(communicator.rank_count()) * shape.places_per_rank);
    }
    if (auto ok = check(shape, communicator.rank(), communicator.rank_count()); !ok) return std::unexpected(ok.error());
    return shape;
}

// By rank: the tokens or entries of its block of the counts.
std::vector<std::size_t> by_rank(const std::vector<std::uint32_t>& counts, std::size_t places, bool of_tokens) {
    std::vector<std::size_t> all;
    for (std::size_t first = 0; first < counts.size(); first += places + 1) {
        std::size_t entries = 0;
        for (std::size_t q = 0; q < places; q++) entries += counts[first + q];
        all.push_back(of_tokens ? counts[first + places] : entries);
    }
    return all;
}

void make_counts(tenonMoeHandle& h) {
    const MoeRouting& r = h.handle->routing();
    const MoeShape& shape = h.handle->group().shape();
    const std::size_t places = shape.places_per_rank;
    for (std::uint32_t q = 0; q < shape.places_per_rank; q++) h.experts.push_back(shape.expert_at(r.rank, q));
    h.place_rows.assign(r.place_rows.begin(), r.place_rows.end());
    h.place_offsets.assign(r.place_offsets.begin(), r.place_offsets.end());
    h.sent_tokens = by_rank(r.counts_out, places, true);
    h.received_tokens = by_rank(r.counts_in, places, true);
    h.sent_entries = by_rank(r.counts_out, places, false);
    h.received_entries = by_rank(r.counts_in, places, false);
}

tenonResult_t not_ready(tenonMoeHandle_t handle, const char* function) {
    return report(Status::invalid_usage,
                  fmt::format("{}: the handle's prepare has not completed, or has failed", function), handle->comm);
}

tenonResult_t dispatch(tenonMoeHandle_t handle, tenonStream_t stream, const MoeGroup::Dispatched& call,
                       bool quantised, const char* function) {
    if (!is_good(handle)) return refuse(function, no_handle);
    if (const tenonResult_t no = may_issue(handle->comm, stream, function,
                                           {call.tokens, call.token_scales, call.rows, call.row_scales});
        no != tenonSuccess)
        return no;
    if (const MoeShape& shape = handle->handle->group().shape(); shape.is_quantised() != quantised)
        return refused(report(Status::invalid_usage,
                              fmt::format("{}: the group's dispatchType is {}; call {}", function,
                                          name_of(shape.dispatch_type),
                                          quantised ? "tenonMoeDispatch" : "tenonMoeDispatchQuantised"),
                              handle->comm));
    return guarded(nullptr, [&] {
        return issue(handle->comm, stream, function,
                     [of = handle->handle, call] { return of->group().dispatch(*of, call); });
    });
}

}  // namespace

tenonResult_t tenonMoeMemory(tenonComm_t comm, const tenonMoeConfig_t* config, uint64_t* bytes) {
    if (!is_alive(comm)) return refuse_handle(comm, __func__);
    if (bytes == nullptr) return refuse(__func__, "bytes is NULL", comm);
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto shape = shape_of(config, *comm->communicator);
        if (!shape) return report(shape.error(), comm);
        MoeGroup::choose_path(*shape, *comm->communicator);
        *bytes = memory_of(*shape, MoeGroup::nodes_of(comm->communicator->topology())).bytes();
        return tenonSuccess;
    });
}

tenonResult_t tenonMoeGroupCreate(tenonMoeGroup_t* group, tenonComm_t comm, const tenonMoeConfig_t* config) {
    if (group == nullptr) return refuse(__func__, "group is NULL", is_alive(comm) ? comm : nullptr);
    *group = nullptr;
    if (const tenonResult_t no = may_issue(comm, nullptr, __func__); no != tenonSuccess) return no;
    return guarded(comm, [&]() -> tenonResult_t {
        const Inside inside(*comm);
        if (!is_alive(comm)) return refuse_handle(comm, "tenonMoeGroupCreate");
        auto shape = shape_of(config, *comm->communicator);
        if (!shape) return report(shape.error(), comm);
        auto made = MoeGroup::create(*comm->communicator, std::move(*shape));
        if (!made) return report(made.error(), comm);
        *group = new tenonMoeGroup{.comm = comm, .group = std::move(*made)};
        return tenonSuccess;
    });
}

tenonResult_t tenonMoeGroupDestroy(tenonMoeGroup_t group) {
    if (!is_good(group)) return refuse(__func__, no_group);
    group->state = dead;
    delete group;
    return tenonSuccess;
}

tenonResult_t tenonMoePrepare(tenonMoeHandle_t* handle, tenonMoeGroup_t group, const int64_t* topkIndices,
                              const float* topkWeights, size_t tokens, tenonStream_t stream) {
    if (handle == nullptr) return refuse(__func__, "handle is NULL");
    *handle = nullptr;
    if (!is_good(group)) return refuse(__func__, no_group);
    if (const tenonResult_t no = may_issue(group->comm, stream, __func__, {topkIndices, topkWeights});
        no != tenonSuccess)
        return no;
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto routed = group->group->route(topkIndices, topkWeights, tokens);
        if (!routed) return report(routed.error(), group->comm);
        auto made = std::make_unique<tenonMoeHandle>();
        made->comm = group->comm;
        made->handle = *routed;
        const tenonResult_t issued = issue(group->comm, stream, "tenonMoePrepare",
                                           [of = group->group, routed = *routed] { return of->prepare(*routed); });
        if (issued == tenonSuccess) *handle = made.release();
        return issued;
    });
}

tenonResult_t tenonMoeHandleDestroy(tenonMoeHandle_t handle) {
    if (!is_good(handle)) return refuse(__func__, no_handle);
    handle->state = dead;
    delete handle;
    return tenonSuccess;
}

tenonResult_t tenonMoeDispatch(tenonMoeHandle_t handle, const void* tokens, void* rows, size_t rowCapacity,
                               tenonStream_t stream) {
    return dispatch(handle, stream, {.tokens = tokens, .rows = rows, .row_room = rowCapacity}, false, __func__);
}

tenonResult_t tenonMoeDispatchQuantised(tenonMoeHandle_t handle, const void* tokens, const float* tokenScales,
                                        void* rows, float* rowScales, size_t rowCapacity, tenonStream_t stream) {
    return dispatch(handle, stream,
                    {.tokens = tokens, .token_scales = tokenScales, .rows = rows, .row_scales = rowScales,
                     .row_room = rowCapacity},
                    true, __func__);
}

tenonResult_t tenonMoeCombine(tenonMoeHandle_t handle, const void* rows, void* tokens, int weighted,
                              tenonStream_t stream) {
    if (!is_good(handle)) return refuse(__func__, no_handle);
    if (const tenonResult_t no = may_issue(handle->comm, stream, __func__, {rows, tokens}); no != tenonSuccess)
        return no;
    if (weighted != 0 && weighted != 1) return refuse(__func__, "weighted must be 0 or 1", handle->comm);
    return guarded(nullptr, [&] {
        return issue(handle->comm, stream, "tenonMoeCombine", [of = handle->handle, rows, tokens, weighted] {
            return of->group().combine(*of, rows, tokens, weighted == 1);
        });
    });
}

tenonResult_t tenonMoeGetCounts(tenonMoeHandle_t handle, tenonMoeCounts_t* counts) {
    if (!is_good(handle)) return refuse(__func__, no_handle);
    if (counts == nullptr) return refuse(__func__, "counts is NULL", handle->comm);
    if (!handle->handle->ready()) return not_ready(handle, __func__);
    return guarded(nullptr, [&]() -> tenonResult_t {
        const MoeRouting& r = handle->handle->routing();
        const std::scoped_lock lock(handle->counts_mutex);
        if (handle->sent_tokens.empty()) make_counts(*handle);
        *counts = {.tokens = r.tokens, .rows = r.rows, .places = static_cast<int>(handle->experts.size()),
                   .experts = handle->experts.data(), .placeRows = handle->place_rows.data(),
                   .placeOffsets = handle->place_offsets.data(), .sentTokens = handle->sent_tokens.data(),
                   .receivedTokens = handle->received_tokens.data(), .sentEntries = handle->sent_entries.data(),
                   .receivedEntries = handle->received_entries.data(),
                   .rowsToOtherNodes = handle->handle->rows_to_other_nodes(),
                   .leastRowsToOtherNodes = handle->handle->least_rows_to_other_nodes(),
                   .nodes = handle->handle->group().nodes().data(), .droppedSlots = r.dropped_slots,
                   .droppedTokens = r.dropped_tokens};
        return tenonSuccess;
    });
}

tenonResult_t tenonMoeGroupMask(tenonMoeGroup_t group, const unsigned char* masked) {
    if (!is_good(group)) return refuse(__func__, no_group);
    if (const tenonResult_t no = may_issue(group->comm, nullptr, __func__); no != tenonSuccess) return no;
    return guarded(nullptr, [&]() -> tenonResult_t {
        auto mask = mask_of(masked, *group->comm->communicator);
        if (!mask) return report(mask.error(), group->comm);
        return issue(group->comm, nullptr, "tenonMoeGroupMask",
                     [of = group->group, mask = std::move(*mask)] { return of->mask(mask); });
    });
}

tenonResult_t tenonMoeGetPath(tenonMoeGroup_t group, tenonMoePath_t* path) {
    if (!is_good(group)) return refuse(__func__, no_group);
    if (path == nullptr) return refuse(__func__, "path is NULL", group->comm);
    *path = static_cast<tenonMoePath_t>(group->group->shape().path);
    return tenonSuccess;
}

tenonResult_t tenonMoeGetTraffic(tenonMoeGroup_t group, tenonMoeTraffic_t* traffic) {
    if (!is_good(group)) return refuse(__func__, no_group);
    if (traffic == nullptr) return refuse(__func__, "traffic is NULL", group->comm);
    const MoeTraffic &dispatched = group->group->dispatched(), &combined = group->group->combined();
    *traffic = {.dispatches = dispatched.calls.load(), .combines = combined.calls.load(),
                .dispatchBytesInsideNode = dispatched.inside_node_bytes(),
                .dispatchBytesLeavingNode = dispatched.leaving_node_bytes(),
                .combineBytesInsideNode = combined.inside_node_bytes(),
                .combineBytesLeavingNode = combined.leaving_node_bytes()};
    return tenonSuccess;
}

tenonResult_t tenonMoeGetRows(tenonMoeHandle_t handle, int* ranks, int64_t* tokens, int* slots, int* experts,
                              float* weights) {
    if (!is_good(handle)) return refuse(__func__, no_handle);
    if (!handle->handle->ready()) return not_ready(handle, __func__);
    const MoeRouting& r = handle->handle->routing();
    const MoeShape& shape = handle->handle->group().shape();
    const bool by_rank = shape.layout == MoeLayout::rank_major;
    if (by_rank && slots != nullptr) return refuse(__func__, "slots must be NULL with tenonMoeRankMajor", handle->comm);
    const std::size_t width = by_rank ? shape.top_k : 1;
    if (ranks != nullptr) std::fill_n(ranks, r.rows, -1);
    if (tokens != nullptr) std::fill_n(tokens, r.rows, -1);
    if (slots != nullptr) std::fill_n(slots, r.rows, -1);
    if (experts != nullptr) std::fill_n(experts, r.rows * width, -1);
    if (weights != nullptr) std::fill_n(weights, r.rows * width, 0.0F);
    for (Rank from = 0; from < r.rank_count; from++) {
        const std::uint64_t first = r.received_offsets[static_cast<std::size_t>(from)];
        const std::span<const MoeEntry> entries = r.received_from(from);
        for (std::size_t i = 0; i < entries.size(); i++) {
            const MoeEntry& entry = entries[i];
            const std::size_t row = r.received_rows[first + i], at = row * width + (by_rank ? entry.slot : 0);
            if (ranks != nullptr) ranks[row] = from;
            if (tokens != nullptr) tokens[row] = entry.token;
            if (slots != nullptr) slots[row] = entry.slot;
            if (experts != nullptr) experts[at] = shape.expert_at(r.rank, entry.place);
            if (weights != nullptr) weights[at] = entry.weight;
        }
    }
    return tenonSuccess;
}
