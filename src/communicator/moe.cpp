#include "communicator/moe.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/log.hpp"
#include "communicator/moe_agreement.hpp"
#include "exchange/moe_price.hpp"
#include "os/clock.hpp"
#include "reduction/floating_point_mode.hpp"

namespace tenon {
namespace {

// Dispatches that store less than this never do so past the caches. Of the others each is a sound measurement.
constexpr std::uint64_t streamed_bytes = 1 << 20;

// How a group's rows may travel, and how many calls try each way. Ranks count the same calls, so that they try the same
// at the same time; what the largest of these move, all have been told.
PathTrial trial_of(const Communicator& communicator, const MoeShape& shape, bool is_dispatch) {
    const Decisions& decisions = communicator.decisions();
    const std::uint64_t row_bytes = is_dispatch ? shape.dispatch_row_bytes() : shape.combine_row_bytes();
    const std::uint64_t largest = shape.most_tokens * shape.top_k * row_bytes;
    if (communicator.is_networked()) return {};  // where they make no difference that could be told
    const Path ways{.streaming_stores = is_dispatch && decisions.try_streaming_stores && largest >= streamed_bytes,
                    .streaming_slots = decisions.try_streaming_stores,
                    .kernel_copies = decisions.try_kernel_copies && row_bytes >= least_copied_row_bytes};
    if (ways == Path{}) return {};
    return {ways, largest >= streamed_bytes
                      ? PathTrial::Tries{.warm_up = 1, .uncounted = 1, .counted = 3, .apart = 10}
                      : PathTrial::Tries{.warm_up = 32, .uncounted = 16, .counted = 6}};
}

// Of a leg in which nobody reads its senders' rows where they lie: where that is in another rank's window or buffer,
// its readers are not told. Of a dispatch's leg between nodes, the numbers of tokens tell it.
AccessPolicy staged(AccessPolicy policy) {
    policy.direct_min_bytes = policy.copy_min_bytes = UINT64_MAX;
    return policy;
}

void tell_memory(const MoeShape& shape, std::span<const std::int32_t> nodes, std::uint32_t number,
                 std::uint64_t slot_memory) {
    const MoeMemory memory = memory_of(shape, nodes);
    log(LogLevel::info,
        "MoE group {} of {} ranks, {} experts, top-{}, {} tokens of {} elements: a rank takes at most {} bytes for its "
        "peers, {} for its window and {} for quantised tokens; for a handle {} for what it sends, and, if every token "
        "comes here, {} for that and {} for what is handed on; and {} for slots",
        number, nodes.size(), shape.experts, shape.top_k, shape.most_tokens, shape.hidden, memory.peers_bytes,
        memory.window_bytes, memory.quantised_bytes, memory.routing_sent_bytes, memory.routing_received_bytes,
        memory.legs_bytes, slot_memory);
}

}  // namespace

std::uint64_t MoeTraffic::leaving_node_bytes() const {
    std::uint64_t bytes = 0;
    for (std::size_t level = 1; level < sent.levels()->count(); level++) bytes += sent.at(level).bytes;
    return bytes;
}

std::uint64_t MoeHandle::rows_to_other_nodes() const {
    const std::vector<std::int32_t>& nodes = group_->nodes();
    const std::int32_t own = nodes[static_cast<std::size_t>(routing_.rank)];
    std::uint64_t rows = 0;
    const auto count = [&](const MoeRouting& routing) {
        for (Rank r = 0; r < routing.rank_count; r++) {
            if (nodes[static_cast<std::size_t>(r)] == own) continue;
            const std::span<const MoeEntry> entries = routing.sent_to(r);
            for (std::size_t at = 0; at < entries.size(); at += run_length(entries, at)) rows++;
        }
    };
    if (group_->is_hierarchical())
        for (const MoeLegs& legs : hierarchy_.rounds) count(legs.across);
    else
        count(routing_);
    return rows;
}

std::uint64_t MoeHandle::least_rows_to_other_nodes() const {
    const std::vector<std::int32_t>& nodes = group_->nodes();
    const std::int32_t own = nodes[static_cast<std::size_t>(routing_.rank)];
    return static_cast<std::uint64_t>(std::ranges::count_if(routing_.contributions, [&](const MoeContribution& part) {
        return part.ends_group != 0 && nodes[part.rank] != own;
    }));
}

std::vector<std::int32_t> MoeGroup::nodes_of(const Topology& topology) {
    if (topology.levels.size() >= 2) return topology.levels.front().group_of;
    return std::vector<std::int32_t>(static_cast<std::size_t>(topology.rank_count), 0);
}

MoeGroup::MoeGroup(Communicator& communicator, MoeShape shape)
    : communicator_(communicator),
      shape_(std::move(shape)),
      across_shape_(shape_),
      nodes_(nodes_of(communicator.topology())),
      copies_(shape_, communicator.rank(), nodes_),
      forwarders_(nodes_, shape_.masked),
      dispatched_{.sent = Traffic(communicator.traffic().levels())},
      combined_{.sent = Traffic(communicator.traffic().levels())},
      dispatch_trial_(trial_of(communicator, shape_, true)),
      combine_trial_(trial_of(communicator, shape_, false)) {
    across_shape_.layout = MoeLayout::rank_major;
    across_shape_.placement = {};
}

std::string MoeGroup::choose_path(MoeShape& shape, const Communicator& communicator) {
    if (shape.path != MoePath::automatic) return "as configured";
    const StandardFloatingPoint standard;
    MoePathChoice choice = choose_moe_path(shape, nodes_of(communicator.topology()), communicator.topology(),
                                           communicator.costs());
    shape.path = choice.path;
    return std::move(choice.reason);
}

Result<std::shared_ptr<MoeGroup>> MoeGroup::create(Communicator& communicator, MoeShape shape) {
    const Rank rank = communicator.rank(), ranks = communicator.rank_count();
    if (auto ok = check(shape, rank, ranks); !ok) return std::unexpected(ok.error());
    const AgreedValues own = agreed_values(shape);
    std::vector<std::uint64_t> everybody(own.size() * static_cast<std::size_t>(ranks));
    auto told = communicator.run({.collective = Collective::all_gather, .type = DataType::uint64, .send = own.data(),
                                  .receive = everybody.data(), .count = own.size()});
    if (!told) return std::unexpected(told.error());
    if (auto same = compare_agreed(shape, everybody, rank, ranks); !same) return std::unexpected(same.error());
    const std::uint32_t number = communicator.next_moe_group();
    const std::string reason = choose_path(shape, communicator);
    if (rank == 0) {
        log(LogLevel::info, "MoE group {} is {}: {}", number, shape.path == MoePath::flat ? "flat" : "hierarchical",
            reason);
        tell_memory(shape, nodes_of(communicator.topology()), number, communicator.config().slot_memory.value);
    }
    std::shared_ptr<MoeGroup> made(new MoeGroup(communicator, std::move(shape)));
    made->number_ = number;
    return made;
}

Result<std::shared_ptr<MoeHandle>> MoeGroup::route(const std::int64_t* indices, const float* weights,
                                                   std::uint64_t tokens) {
    const Rank rank = communicator_.rank();
    if (tokens > shape_.most_tokens)
        return fail(Status::invalid_argument,
                    fmt::format("rank {}: MoE prepare: {} tokens are more than the group's maxTokens, {}", rank, tokens,
                                shape_.most_tokens));
    if (tokens != 0 && shape_.is_masked(rank))
        return fail(Status::invalid_argument,
                    fmt::format("rank {}: MoE prepare: {} tokens on a rank that is masked; it must have none", rank,
                                tokens));
    if (tokens != 0 && indices == nullptr)
        return fail(Status::invalid_argument, fmt::format("rank {}: MoE prepare: topkIndices is NULL", rank));
    auto routing = MoeRouting::route(shape_, copies_, rank, nodes_, indices, weights, tokens);
    if (!routing) return std::unexpected(routing.error());
    return std::make_shared<MoeHandle>(shared_from_this(), ++handles_, std::move(*routing));
}

Result<void> MoeGroup::mask(std::vector<std::uint8_t> masked) {
    const Rank rank = communicator_.rank(), ranks = communicator_.rank_count();
    MoeShape shape = shape_;
    shape.masked = std::move(masked);
    const std::uint64_t own = hash_of_mask(shape);
    std::vector<std::uint64_t> everybody(static_cast<std::size_t>(ranks));
    auto told = communicator_.run_in_turn({.collective = Collective::all_gather, .type = DataType::uint64, .send = &own,
                                           .receive = everybody.data(), .count = 1});
    if (!told) return told;
    for (Rank r = 1; r < ranks; r++)
        if (everybody[static_cast<std::size_t>(r)] != everybody[0])
            return fail(Status::mismatch,
                        fmt::format("rank {}: MoE group: rank 0 and rank {} mask different ranks; every rank must give "
                                    "the same mask",
                                    rank, r));
    if (auto ok = check(shape, rank, ranks); !ok) return ok;
    shape_.masked = std::move(shape.masked);
    copies_ = MoeCopies(shape_, rank, nodes_);
    forwarders_ = MoeForwarders(nodes_, shape_.masked);
    return {};
}

Result<void> MoeGroup::prepare(MoeHandle& handle) {
    MoeRouting& r = handle.routing_;
    const std::uint64_t block = shape_.places_per_rank + 1;
    const auto to_all = [&](const std::vector<std::uint32_t>& out, std::vector<std::uint32_t>& in) {
        return communicator_.run_in_turn({.collective = Collective::all_to_all, .type = DataType::uint32,
                                          .send = out.data(), .receive = in.data(), .count = block});
    };
    r.counts_in.resize(r.counts_out.size());
    if (auto ok = to_all(r.counts_out, r.counts_in); !ok) return ok;
    if (!r.lay_out(shape_))
        return std::unexpected(communicator_.give_up(
            {Status::system_error,
             fmt::format("MoE prepare: {} rows come to this rank, and at most {} can be numbered; use fewer tokens or "
                         "a smaller alignment",
                         r.rows, UINT32_MAX)}));
    if (auto ok = to_all(r.bases_out, r.bases_in); !ok) return ok;
    if (auto ok = exchange_entries(r); !ok) return ok;
    if (!r.finish(shape_))
        return std::unexpected(
            communicator_.give_up({Status::internal_error, "MoE prepare: an entry that came fits no configuration"}));
    if (is_hierarchical())
        if (auto ok = prepare_hierarchy(handle); !ok) return ok;
    if (shape_.is_quantised())
        quantised_.resize(std::max<std::size_t>(quantised_.size(), r.tokens * shape_.dispatch_row_bytes()));
    handle.ready_.store(true, std::memory_order_release);
    return {};
}

// What the forwarders of this rank's tokens must know, and from what the others tell, the legs.
Result<void> MoeGroup::prepare_hierarchy(MoeHandle& handle) {
    MoeHierarchy& h = handle.hierarchy_;
    h.tell(shape_, handle.routing_, forwarders_);
    const std::size_t ranks = h.tells_offsets.size() - 1;
    std::vector<std::uint64_t> counts_out(ranks), counts_in(ranks);
    for (std::size_t r = 0; r < ranks; r++) counts_out[r] = h.tells_offsets[r + 1] - h.tells_offsets[r];
    auto counted = communicator_.run_in_turn({.collective = Collective::all_to_all, .type = DataType::uint64,
                                              .send = counts_out.data(), .receive = counts_in.data(), .count = 1});
    if (!counted) return counted;
    h.told_offsets.assign(ranks + 1, 0);
    for (std::size_t r = 0; r < ranks; r++) h.told_offsets[r + 1] = h.told_offsets[r] + counts_in[r];
    h.told.resize(h.told_offsets.back());
    if (auto ok = exchange_lists(h.tells, h.tells_offsets, h.told, h.told_offsets); !ok) return ok;
    if (!h.finish(shape_, handle.routing_, forwarders_))
        return std::unexpected(
            communicator_.give_up({Status::internal_error, "MoE prepare: an entry that came fits no configuration"}));
    const std::uint64_t windows = MoeHierarchy::windows_of(h.rounds.size());
    windows_.resize(std::max<std::size_t>(windows_.size(), windows * h.window_rows * window_row_bytes()));
    return {};
}

Result<void> MoeGroup::exchange_entries(MoeRouting& r) {
    return exchange_lists(r.sent, r.sent_offsets, r.received, r.received_offsets);
}

template <class Entry>
Result<void> MoeGroup::exchange_lists(const std::vector<Entry>& out, const std::vector<std::uint64_t>& out_offsets,
                                      std::vector<Entry>& in, const std::vector<std::uint64_t>& in_offsets) {
    const std::size_t ranks = out_offsets.size() - 1;
    std::vector<std::size_t> counts_out(ranks), offsets_out(ranks), counts_in(ranks), offsets_in(ranks);
    for (std::size_t p = 0; p < ranks; p++) {
        offsets_out[p] = out_offsets[p] * sizeof(Entry);
        counts_out[p] = out_offsets[p + 1] * sizeof(Entry) - offsets_out[p];
        offsets_in[p] = in_offsets[p] * sizeof(Entry);
        counts_in[p] = in_offsets[p + 1] * sizeof(Entry) - offsets_in[p];
    }
    return communicator_.run_in_turn({.collective = Collective::all_to_all_v, .type = DataType::uint8,
                                      .send = out.data(), .receive = in.data(), .send_counts = counts_out.data(),
                                      .send_offsets = offsets_out.data(), .receive_counts = counts_in.data(),
                                      .receive_offsets = offsets_in.data()});
}

Result<void> MoeGroup::must_be_ready(const MoeHandle& handle, const char* call) const {
    if (handle.ready()) return {};
    return fail(Status::invalid_usage,
                fmt::format("rank {}: MoE {}: the handle's prepare has not completed, or has failed",
                            communicator_.rank(), call));
}

CallRecord MoeGroup::record_of(const MoeHandle& handle, Collective collective, bool weighted) const {
    const std::uint64_t mixed = ((handle.number_ << 20 | number_) << 2 | (weighted ? 1 : 0)) * 0x9e3779b97f4a7c15u;
    return {.count = handle.number_,
            .signature = static_cast<std::uint32_t>(mixed >> 32) ^ static_cast<std::uint32_t>(collective) * 0x85ebca6bu,
            .collective = collective,
            .type = collective == Collective::moe_dispatch ? shape_.dispatch_type : shape_.combine_type,
            .op = weighted ? ReduceOp::prod : ReduceOp::sum,
            .root = static_cast<Rank>(number_ & 0xfffff)};
}

MoeCall MoeGroup::call_of(const MoeShape& shape, const MoeRouting& routing, std::uint32_t signature,
                          const AccessPolicy& policy) const {
    return {.shape = &shape, .routing = &routing, .transport = &communicator_.transport(), .signature = signature,
            .policy = policy};
}

AccessPolicy MoeGroup::policy_of(const Path& path, std::uint64_t stored_bytes) const {
    const Decisions& decisions = communicator_.decisions();
    AccessPolicy policy = decisions.access;
    policy.streaming_slots = path.streaming_slots || decisions.always_streams;
    policy.streaming_stores =
        (path.streaming_stores || decisions.always_streams) && stored_bytes >= streamed_bytes;
    if (path.kernel_copies) policy.copy_min_bytes = std::min(policy.copy_min_bytes, kernel_copy_bytes);
    return policy;
}

// Runs a call the way that the trial has found, or tries next. `bytes`: of the call's rows.
template <class Run>
Result<void> MoeGroup::by_trial(PathTrial& trial, std::uint64_t bytes, const Run& run) {
    trial.next_call();
    const bool is_try = !trial.decided();
    const std::uint64_t began_ns = is_try ? os::now_ns() : 0;
    const auto done = run(policy_of(trial.path(), bytes));
    if (!is_try || !done) return done;
    trial.took(os::now_ns() - began_ns, std::max<std::uint64_t>(bytes, 1));
    if (trial.decided() && trial.changed())
        log(LogLevel::debug, "rank {}: {} of MoE group {}: {}", communicator_.rank(),
            &trial == &dispatch_trial_ ? "dispatches" : "combines", number_, trial.explanation());
    return done;
}

void MoeGroup::count(const MoeExchange& leg, MoeTraffic& traffic) {
    leg.for_each_receiver([&](Rank peer, std::uint64_t bytes, std::uint64_t messages) {
        traffic.sent.add(peer, bytes, messages);
        communicator_.count_sent(peer, bytes, messages);
    });
}

// Of what lies in a window, whichever way it goes.
std::uint64_t MoeGroup::window_row_bytes() const {
    return std::max(shape_.dispatch_row_bytes(), shape_.hidden * element_bytes(shape_.partial_type));
}

std::byte* MoeGroup::window(const MoeHandle& handle, std::size_t round) {
    return windows_.data() + round % 2 * handle.hierarchy_.window_rows * window_row_bytes();
}

Result<void> MoeGroup::dispatch_all(const MoeHandle& handle, const std::byte* tokens, const MoeRowBuffers& to,
                                    const AccessPolicy& policy) {
    if (is_hierarchical()) return dispatch_by_legs(handle, tokens, to, policy);
    auto done = communicator_.run_in_turn(
        dispatch_, record_of(handle, Collective::moe_dispatch, false), [&](std::uint32_t signature) {
            return dispatch_.begin(call_of(shape_, handle.routing_, signature, policy), tokens, to);
        });
    if (done) count(dispatch_, dispatched_);
    return done;
}

Result<void> MoeGroup::dispatch_by_legs(const MoeHandle& handle, const std::byte* tokens, const MoeRowBuffers& to,
                                        const AccessPolicy& policy) {
    AccessPolicy to_window = policy;
    to_window.streaming_stores = false;
    const std::vector<MoeLegs>& rounds = handle.hierarchy_.rounds;
    const std::uint64_t block_bytes = handle.hierarchy_.block * shape_.dispatch_row_bytes();
    for (std::size_t i = 0; i <= rounds.size(); i++) {
        const bool has_across = i < rounds.size(), has_within = i > 0;
        const auto begin = [&](std::uint32_t signature) -> Result<void> {
            legs_.set(has_across ? &dispatch_across_ : nullptr, has_within ? &dispatch_ : nullptr);
            if (has_across) {
                const MoeRouting& across = rounds[i].across;
                auto ok = dispatch_across_.begin(call_of(across_shape_, across, signature, to_window),
                                                 across.tokens != 0 ? tokens + i * block_bytes : tokens,
                                                 {.rows = window(handle, i)});
                if (!ok || !has_within) return ok;
            }
            return dispatch_.begin(call_of(shape_, rounds[i - 1].within, signature, staged(policy)),
                                   window(handle, i - 1), to);
        };
        auto done = communicator_.run_in_turn(legs_, record_of(handle, Collective::moe_dispatch, false), begin);
        if (!done) return done;
        if (has_across) count(dispatch_across_, dispatched_);
        if (has_within) count(dispatch_, dispatched_);
    }
    return {};
}

Result<void> MoeGroup::combine_all(const MoeHandle& handle, const std::byte* rows, std::byte* tokens, bool weighted,
                                   const AccessPolicy& policy) {
    if (is_hierarchical()) return combine_by_legs(handle, rows, tokens, weighted, staged(policy));
    const WeightedSumTypes types{shape_.combine_type, shape_.partial_type, shape_.combine_type};
    auto done = communicator_.run_in_turn(
        combine_, record_of(handle, Collective::moe_combine, weighted), [&](std::uint32_t signature) {
            return combine_.begin(call_of(shape_, handle.routing_, signature, policy), types, rows, tokens,
                                  weighted);
        });
    if (done) count(combine_, combined_);
    return done;
}

Result<void> MoeGroup::combine_by_legs(const MoeHandle& handle, const std::byte* rows, std::byte* tokens,
                                       bool weighted, const AccessPolicy& policy) {
    const std::vector<MoeLegs>& rounds = handle.hierarchy_.rounds;
    const DataType type = shape_.combine_type, partial = shape_.partial_type;
    const std::uint64_t block_bytes = handle.hierarchy_.block * shape_.combine_row_bytes();
    for (std::size_t i = 0; i <= rounds.size(); i++) {
        const bool has_within = i < rounds.size(), has_across = i > 0;
        const auto begin = [&](std::uint32_t signature) -> Result<void> {
            legs_.set(has_across ? &combine_across_ : nullptr, has_within ? &combine_ : nullptr);
            if (has_within) {
                auto ok = combine_.begin(call_of(shape_, rounds[i].within, signature, policy),
                                         {type, partial, partial}, rows, window(handle, i), weighted);
                if (!ok || !has_across) return ok;
            }
            const MoeRouting& across = rounds[i - 1].across;
            std::byte* const to = across.tokens != 0 ? tokens + (i - 1) * block_bytes : tokens;
            return combine_across_.begin(call_of(across_shape_, across, signature, policy),
                                         {partial, partial, type}, window(handle, i - 1), to, false);
        };
        auto done = communicator_.run_in_turn(legs_, record_of(handle, Collective::moe_combine, weighted), begin);
        if (!done) return done;
        if (has_within) count(combine_, combined_);
        if (has_across) count(combine_across_, combined_);
    }
    return {};
}

Result<void> MoeGroup::check_dispatch(const MoeRouting& r, const Dispatched& call) const {
    const auto wrong = [&](const std::string& what) {
        return fail(Status::invalid_argument, fmt::format("rank {}: MoE dispatch: {}", r.rank, what));
    };
    if (call.row_room < r.rows)
        return wrong(fmt::format("there is room for {} rows, but {} are needed{}", call.row_room, r.rows,
                                 shape_.layout == MoeLayout::expert_major ? ", padding included" : ""));
    if (call.tokens == nullptr && !r.sent.empty()) return wrong("tokens is NULL");
    if (call.rows == nullptr && r.rows != 0) return wrong("rows is NULL");
    if (!shape_.is_quantised()) return {};
    if (call.row_scales == nullptr && r.rows != 0) return wrong("rowScales is NULL");
    const bool needs_scales = shape_.token_type == shape_.dispatch_type;
    if (needs_scales && call.token_scales == nullptr && !r.sent.empty())
        return wrong(fmt::format("tokenScales is NULL, but the group's tokens are {} already",
                                 name_of(shape_.token_type)));
    if (!needs_scales && call.token_scales != nullptr)
        return wrong(fmt::format("tokenScales is given, but the group's tokens are {}, which the call quantises itself",
                                 name_of(shape_.token_type)));
    return {};
}

// The tokens, each with its scales behind it where rows are quantised.
const std::byte* MoeGroup::as_they_travel(const MoeRouting& r, const Dispatched& call) {
    const auto* const tokens = static_cast<const std::byte*>(call.tokens);
    if (!shape_.is_quantised() || tokens == nullptr) return tokens;
    const std::uint64_t stride = shape_.dispatch_row_bytes(), scale_bytes = shape_.scale_bytes();
    if (shape_.token_type != shape_.dispatch_type) {
        run_quantise(quantise_kernel(shape_.token_type, shape_.dispatch_type),
                     {.source = tokens, .source_row_bytes = shape_.token_row_bytes(), .rows = r.tokens,
                      .elements = shape_.hidden, .codes = quantised_.data(), .stride = stride});
        return quantised_.data();
    }
    const auto* const scales = static_cast<const std::byte*>(call.token_scales);
    for (std::uint64_t t = 0; t < r.tokens; t++) {
        std::byte* const to = quantised_.data() + t * stride;
        std::memcpy(to, tokens + t * shape_.hidden, shape_.hidden);
        std::memcpy(to + shape_.hidden, scales + t * scale_bytes, scale_bytes);
    }
    return quantised_.data();
}

Result<void> MoeGroup::dispatch(const MoeHandle& handle, const Dispatched& call) {
    if (auto ok = must_be_ready(handle, "dispatch"); !ok) return ok;
    const MoeRouting& r = handle.routing_;
    if (auto ok = check_dispatch(r, call); !ok) return ok;
    const MoeRowBuffers to{.rows = static_cast<std::byte*>(call.rows),
                           .scales = static_cast<std::byte*>(call.row_scales),
                           .scale_bytes = shape_.scale_bytes()};
    const std::byte* const tokens = as_they_travel(r, call);
    auto done = by_trial(dispatch_trial_, r.rows * shape_.dispatch_row_bytes(), [&](const AccessPolicy& policy) {
        return dispatch_all(handle, tokens, to, policy);
    });
    if (done) dispatched_.calls.fetch_add(1, std::memory_order_relaxed);
    return done;
}

Result<void> MoeGroup::combine(const MoeHandle& handle, const void* rows, void* tokens, bool weighted) {
    if (auto ok = must_be_ready(handle, "combine"); !ok) return ok;
    const MoeRouting& r = handle.routing_;
    const auto wrong = [&](const std::string& what) {
        return fail(Status::invalid_argument, fmt::format("rank {}: MoE combine: {}", r.rank, what));
    };
    if (weighted && shape_.layout == MoeLayout::rank_major)
        return wrong("rank-major rows stand for several experts each; weigh them before, and combine without weights");
    if (rows == nullptr && r.rows != 0) return wrong("rows is NULL");
    if (tokens == nullptr && r.tokens != 0) return wrong("tokens is NULL");
    auto done = by_trial(combine_trial_, r.sent.size() * shape_.combine_row_bytes(), [&](const AccessPolicy& policy) {
        return combine_all(handle, static_cast<const std::byte*>(rows), static_cast<std::byte*>(tokens), weighted,
                           policy);
    });
    if (done) combined_.calls.fetch_add(1, std::memory_order_relaxed);
    return done;
}

}  // namespace tenon
