// How DeviceCalls chooses and prepares a call.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <optional>

#include "communicator/device_calls.hpp"
#include "plan/all_ranks.hpp"
#include "plan/boards.hpp"

namespace tenon {
namespace {

constexpr std::size_t most_prepared = 128, most_plans = 64;

}  // namespace

Result<bool> DeviceCalls::is_of_device(const Call& call) const {
    const bool is_pair = is_point_to_point(call.collective);
    const bool reads = is_pair ? call.collective == Collective::send
                               : is_v(call.collective) || input_blocks(call.collective, facts_.rank, facts_.rank_count,
                                                                       call.root) != 0;
    const bool writes = is_pair ? call.collective == Collective::receive
                                : is_v(call.collective) || output_blocks(call.collective, facts_.rank,
                                                                         facts_.rank_count, call.root) != 0;
    // All ranks agree on a call without elements, and its buffers may be anything.
    if (call.count == 0 && !is_v(call.collective) && !is_pair) return false;
    std::optional<bool> found;
    for (const auto& [buffer, name] :
         {std::pair{reads ? call.send : nullptr, "sendbuff"},
          std::pair{writes ? static_cast<const void*>(call.receive) : nullptr, "recvbuff"}}) {
        if (buffer == nullptr) continue;
        const auto at = device_->device->locate(buffer);
        if (!at) return std::unexpected(at.error());
        const bool is_device = at->kind == device::MemoryKind::device;
        if (is_device && at->device != device_->device->index())
            return fail(Status::invalid_argument,
                        fmt::format("rank {}: {}: {} is memory of {}:{}, but the communicator was made with {}",
                                    facts_.rank, name_of(call.collective), name, device_->provider->name(), at->device,
                                    device_->name));
        if (found && *found != is_device)
            return fail(Status::invalid_argument,
                        fmt::format("rank {}: {}: sendbuff is memory of {} and recvbuff of {}: both must be of one",
                                    facts_.rank, name_of(call.collective), *found ? device_->name : "the host",
                                    is_device ? device_->name : "the host"));
        found = is_device;
    }
    // Who has no part in a call with counts for each rank follows the others, who most likely use their devices.
    return found.value_or(is_v(call.collective));
}

Result<Choice> DeviceCalls::choice(const Request& request) {
    const std::scoped_lock lock(mutex_);
    return choose(request);
}

// Whether the plans of all ranks keep within what devices have; of many ranks, those that may differ.
bool DeviceCalls::fits(const Algorithm& algorithm, Request request) {
    const std::pair key{&algorithm, request.root};
    if (fitting_.contains(key)) return true;
    if (unfitting_.contains(key)) return false;
    constexpr Rank most_built = 64;
    const bool all = request.rank_count <= most_built;
    const auto build = [&](Rank rank) {
        request.rank = rank;
        const auto built = algorithm.build(request, topology_.topology);
        if (!built) return false;
        const Plan plan = without_boards(*built);
        if (plan.lanes.size() > topology_.independent_streams) return false;
        for (const Lane& lane : plan.lanes)
            for (const Step& step : lane.steps)
                if ((sends(step.kind) && step.send_channel >= links_->channels()) ||
                    (receives(step.kind) && step.receive_channel >= links_->channels()))
                    return false;
        return true;
    };
    bool fit = build(request.root) && build(0) && build(request.rank_count - 1);
    for (Rank rank = 0; fit && all && rank < request.rank_count; rank++) fit = build(rank);
    (fit ? fitting_ : unfitting_).insert(key);
    return fit;
}

Result<Choice> DeviceCalls::choose(const Request& request) {
    auto chosen = selection_.choose(request, topology_.topology, &priced_);
    if (!chosen || fits(*chosen->algorithm, request)) return chosen;
    std::multimap<double, const Algorithm*> others;  // by price
    for (const Candidate& other : selection_.candidates(request, topology_.topology))
        if (other.price) others.emplace(other.price->total_ns, other.algorithm);
    for (const auto& [price, algorithm] : others)
        if (fits(*algorithm, request))
            return Choice{algorithm, fmt::format("the lowest price of those whose plans have no more than {} lanes and "
                                                 "{} channels",
                                                 topology_.independent_streams, links_->channels())};
    return fail(Status::invalid_usage, fmt::format("no algorithm of {} has plans of no more than {} lanes and {} "
                                                   "channels, as {} needs",
                                                   name_of(request.collective), topology_.independent_streams,
                                                   links_->channels(), device_->name));
}

Result<const OrderedPlan*> DeviceCalls::plan_for(const Algorithm& algorithm, const Request& request) {
    const auto key = [&](std::optional<std::uint64_t> count) {
        return PlanKey{&algorithm, request.root, element_bytes(request.type), request.deterministic, count};
    };
    for (const auto& known : {plans_.find(key(std::nullopt)), plans_.find(key(request.count.value))})
        if (known != plans_.end()) return &known->second;
    const auto plans = plans_of_all_ranks(algorithm, request, topology_.topology);
    if (!plans) return std::unexpected(plans.error());
    auto made = execution_->order(*plans, request);
    if (!made) return std::unexpected(made.error());
    if (plans_.size() >= most_plans) plans_.clear();
    const auto own = key(made->plan.tile_bytes == one_tile ? std::optional{request.count.value} : std::nullopt);
    return &plans_.emplace(own, std::move(*made)).first->second;
}

// Of all calls, as they run one after the other. Never freed while any may run, since that may wait for them.
Result<std::byte*> DeviceCalls::staging(std::uint64_t bytes) {
    if (staging_.empty() || staging_.back()->bytes().value < bytes) {
        auto made = device_->device->allocate({.bytes = {std::bit_ceil(bytes)}});
        if (!made) return std::unexpected(made.error());
        staging_.push_back(std::move(*made));
    }
    return staging_.back()->data();
}

Result<std::shared_ptr<const DeviceCalls::Prepared>> DeviceCalls::prepared_for(const Call& call) {
    if (call.factor != nullptr)
        return fail(
            Status::invalid_usage,
            fmt::format("rank {}: {}: devices do not multiply, so there are no sums of tenonRedOpCreatePreMulSum: "
                        "scale the input before the call",
                        facts_.rank, name_of(call.collective)));
    if (is_v(call.collective)) return prepare_v(call);
    const Key key{call.collective, call.type, call.op, call.root, call.count, call.send, call.receive};
    if (const auto known = prepared_.find(key); known != prepared_.end()) return known->second;
    auto made = prepare(call);
    if (!made) return made;
    // What is in flight stays.
    if (prepared_.size() >= most_prepared) prepared_.clear();
    return prepared_.emplace(key, std::move(*made)).first->second;
}

Result<std::shared_ptr<const DeviceCalls::Prepared>> DeviceCalls::prepare(const Call& call) {
    const Request request = owner_.request_of(call);
    const auto chosen = choose(request);
    if (!chosen) return std::unexpected(chosen.error());
    const auto plan = plan_for(*chosen->algorithm, request);
    if (!plan) return std::unexpected(plan.error());
    auto prepared = std::make_shared<Prepared>();
    prepared->algorithm = chosen->algorithm->name;
    DeviceBuffers buffers{call.send, call.receive};
    const bool is_copied = !chosen->algorithm->in_place || call.collective == Collective::all_to_all;
    const std::uint64_t bytes = call.count * element_bytes(call.type) *
                                input_blocks(call.collective, request.rank, request.rank_count, call.root);
    if (is_copied && call.send == call.receive && bytes != 0) {
        const auto staged = staging(bytes);
        if (!staged) return std::unexpected(staged.error());
        prepared->staged = *staged;
        prepared->input = call.send;
        prepared->input_bytes = bytes;
        buffers.input = prepared->staged;
    }
    auto made = execution_->prepare(**plan, request, buffers);
    if (!made) return std::unexpected(made.error());
    prepared->call = std::move(*made);
    return prepared;
}

Result<std::shared_ptr<const DeviceCalls::Prepared>> DeviceCalls::prepare_v(const Call& call) {
    auto prepared = std::make_shared<Prepared>();
    prepared->algorithm = "exchange";
    const auto ranks = static_cast<std::size_t>(facts_.rank_count);
    const auto add = [&](Result<DeviceCall> made) -> Result<std::shared_ptr<const Prepared>> {
        if (!made) return std::unexpected(made.error());
        prepared->call = std::move(*made);
        return prepared;
    };
    if (call.collective == Collective::reduce_scatter_v)
        return add(execution_->prepare_reduce_scatter_v(owner_.request_of(call), {call.receive_counts, ranks},
                                                        {call.send, call.receive}));
    const std::uint64_t width = element_bytes(call.type);
    std::vector<DeviceMessage> messages;
    for (std::size_t r = 0; r < ranks; r++) {
        const bool to_all = call.collective == Collective::all_gather_v;
        auto* const from = static_cast<std::byte*>(const_cast<void*>(call.send));  // only ever read
        const std::uint64_t sent = to_all ? call.count : call.send_counts[r];
        messages.push_back({.is_send = true,
                            .peer = static_cast<Rank>(r),
                            .address = sent == 0 ? nullptr : from + (to_all ? 0 : call.send_offsets[r] * width),
                            .bytes = sent * width});
        const std::uint64_t received = call.receive_counts[r];
        auto* const into = static_cast<std::byte*>(call.receive);
        messages.push_back({.is_send = false,
                            .peer = static_cast<Rank>(r),
                            .address = received == 0 ? nullptr : into + call.receive_offsets[r] * width,
                            .bytes = received * width});
    }
    return add(execution_->prepare(messages));
}

}  // namespace tenon
