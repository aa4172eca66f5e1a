#include "communicator/device_calls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>

#include "base/log.hpp"
#include "execution/program.hpp"
#include "os/clock.hpp"
#include "os/thread.hpp"

namespace tenon {
namespace {

constexpr std::size_t most_in_flight = 64;
// On an H200, a stream took fewer than 128 times wait, copy and signal, each of which may be several commands.
constexpr std::size_t most_operations_in_flight = 200;
constexpr Channel most_channels = 8;
constexpr std::uint64_t patience_ms = 5'000;  // for what was given up to end

// Between two ranks; a device has so many notifies for all of them.
Channel channels_within(std::uint32_t notify_limit, Rank rank_count) {
    const auto peers = static_cast<std::uint32_t>(std::max(rank_count - 1, 1));
    const std::uint32_t ends = notify_limit / 2 / peers / (2 * DeviceLinks::slots_per_channel);
    return static_cast<Channel>(std::clamp<std::uint32_t>(ends, 2, most_channels + 1) - 1);
}

Error given_up_before(const DeviceStream& stream) {
    return {Status::invalid_usage,
            fmt::format("the stream of {} was given up when a communicator failed: make another, or wrap it again",
                        stream.device()->name)};
}

std::uint32_t mixed(std::uint32_t hash, std::uint64_t value) {
    const std::uint64_t product = ((std::uint64_t{hash} << 32 | 1) ^ value) * 0x9e3779b97f4a7c15u;
    return static_cast<std::uint32_t>(product >> 32 ^ product);
}

}  // namespace

Result<std::shared_ptr<DeviceCalls>> DeviceCalls::make(Owner& owner, std::shared_ptr<OpenDevice> device,
                                                       const Facts& facts, std::span<const Algorithm> algorithms,
                                                       std::vector<AlgorithmChoice> forced,
                                                       const DeviceIntroductions& introduce) {
    auto selection = Selection::make(algorithms, std::move(forced),
                                     {.links = {}, .costs = device_costs(), .choices = {}, .fingerprint = 0});
    if (!selection) return std::unexpected(selection.error());
    std::shared_ptr<DeviceCalls> made{new DeviceCalls(owner, std::move(device), std::move(*selection))};
    if (auto started = made->start(facts, introduce); !started) return std::unexpected(started.error());
    return made;
}

Result<void> DeviceCalls::start(const Facts& facts, const DeviceIntroductions& introduce) {
    facts_ = facts;
    auto topology = DeviceTopology::find(*device_, facts.rank, facts.hosts, introduce);
    if (!topology) return std::unexpected(topology.error());
    topology_ = std::move(*topology);
    auto links = DeviceLinks::make(
        *device_->device, facts.rank, facts.rank_count,
        {.channels = channels_within(topology_.notify_limit, facts.rank_count),
         .exchanges = true,
         .most_slot_bytes = {facts.slot_memory_bytes},
         .reach = topology_.spans_servers ? device::Reach::supernode : device::Reach::server,
         .timeout_ms = facts.timeout_ms},
        introduce);
    if (!links) return std::unexpected(links.error());
    links_ = std::move(*links);
    topology_.topology.slot_bytes = links_->slot_bytes().value;
    execution_ = std::make_unique<StreamExecution>(*device_->device, *links_);
    auto stream = device_->device->create_stream();
    if (!stream) return std::unexpected(stream.error());
    own_stream_ = std::make_shared<DeviceStream>(device_, std::move(*stream));
    auto thread = os::start_thread([this] { watch(); });
    if (!thread) return std::unexpected(thread.error());
    watch_ = std::move(*thread);
    return {};
}

DeviceCalls::~DeviceCalls() { leave(); }

// --------------------------------------------------------------------------------------------------------------- Issue

CallRecord DeviceCalls::record_of(const Call& call, std::string_view algorithm) {
    Request request = owner_.request_of(call);
    if (is_v(call.collective)) request.count = {0};  // each rank's own
    history_ = mixed(history_, signature_of(request, algorithm));
    // What all_to_all_v moves is known by pairs only.
    if (call.collective == Collective::all_gather_v || call.collective == Collective::reduce_scatter_v)
        for (Rank r = 0; r < facts_.rank_count; r++) history_ = mixed(history_, call.receive_counts[r]);
    return {.count = call.count, .signature = history_, .collective = call.collective, .type = call.type,
            .op = call.op, .root = call.root};
}

Result<void> DeviceCalls::issue(const Call& call, const std::shared_ptr<DeviceStream>& stream) {
    Lock lock(mutex_);
    if (auto over = refuse_if_over(); !over) return over;
    if (stream->is_abandoned()) return std::unexpected(given_up_before(*stream));
    auto prepared = prepared_for(call);
    if (!prepared) return std::unexpected(refuse_or_end(prepared.error(), call));
    if (auto room = wait_for_room(lock, (*prepared)->call.operations().size()); !room) return room;
    last_call_ = owner_.note_device_call(record_of(call, (*prepared)->algorithm));
    if (auto differs = owner_.device_disagreement(last_call_.number)) return std::unexpected(end(*differs, last_call_));
    return issue(*prepared, last_call_, stream);
}

Result<void> DeviceCalls::issue(std::span<const Call> sends_and_receives,
                                const std::shared_ptr<DeviceStream>& stream) {
    Lock lock(mutex_);
    if (auto over = refuse_if_over(); !over) return over;
    std::vector<DeviceMessage> messages;
    for (const Call& call : sends_and_receives) {
        const bool is_send = call.collective == Collective::send;
        messages.push_back({.is_send = is_send,
                            .peer = call.root,
                            .address = static_cast<std::byte*>(is_send ? const_cast<void*>(call.send) : call.receive),
                            .bytes = call.count * element_bytes(call.type)});
    }
    if (stream->is_abandoned()) return std::unexpected(given_up_before(*stream));
    auto made = execution_->prepare(messages);
    if (!made) return std::unexpected(refuse_or_end(made.error(), {}));
    auto prepared = std::make_shared<Prepared>();
    prepared->call = std::move(*made);
    if (auto room = wait_for_room(lock, prepared->call.operations().size()); !room) return room;
    return issue(prepared, {}, stream);
}

Result<void> DeviceCalls::issue(const std::shared_ptr<const Prepared>& prepared, CallRecord record,
                                const std::shared_ptr<DeviceStream>& stream) {
    auto begun = event(), done = event();
    if (!begun || !done) return std::unexpected(end(begun ? done.error() : begun.error(), record));
    stream->add_user(weak_from_this());
    unsettled_.insert(stream.get());
    const auto enqueued = stream->enqueue([&](device::Stream& on) -> Result<void> {
        if (!in_flight_.empty() && in_flight_.back().stream != stream)
            if (auto waits = on.wait(*in_flight_.back().done); !waits) return waits;
        if (auto marked = on.record(**begun); !marked) return marked;
        if (prepared->staged == nullptr) return {};
        return on.copy(prepared->staged, prepared->input, {prepared->input_bytes});
    });
    operations_in_flight_ += prepared->call.operations().size();
    for (const DeviceCallTraffic& sent : prepared->call.traffic())
        owner_.count_sent(sent.peer, sent.bytes, sent.messages);
    in_flight_.push_back({record, prepared, stream, std::move(*begun), std::move(*done)});
    if (is_watch_asleep_) wake_.notify_all();
    if (!enqueued) return std::unexpected(end(enqueued.error(), record));
    const auto all = enqueue_parts();
    return all ? Result<void>{} : std::unexpected(all.error());
}

// Of the last call, those for which there is room; whether no more are left.
Result<bool> DeviceCalls::enqueue_parts() {
    InFlight& last = in_flight_.back();
    const DeviceCall& call = last.prepared->call;
    const auto enqueue = [&]() -> Result<void> {
        return last.stream->enqueue([&](device::Stream& on) -> Result<void> {
            if (auto issued = execution_->issue(call, last.parts++, on); !issued) return issued;
            if (last.parts < call.part_count()) return {};
            last.is_enqueued = true;
            return on.record(*last.done);
        });
    };
    while (!last.is_enqueued) {
        const auto room = last.parts < 2 ? Result<bool>{true} : call.is_done(last.parts - 2);
        if (room && !*room) return false;
        if (auto enqueued = room ? enqueue() : std::unexpected(room.error()); !enqueued)
            return std::unexpected(end(enqueued.error(), last.record));
    }
    return true;
}

Result<bool> DeviceCalls::enqueue_more() {
    const std::scoped_lock lock(mutex_);
    if (error_) return std::unexpected(*error_);
    return in_flight_.empty() || in_flight_.back().is_enqueued ? Result<bool>{true} : enqueue_parts();
}

Result<std::unique_ptr<device::Event>> DeviceCalls::event() {
    if (free_events_.empty()) return device_->device->create_event();
    auto event = std::move(free_events_.back());
    free_events_.pop_back();
    return event;
}

Result<void> DeviceCalls::refuse_if_over() {
    if (auto retired = retire(); !retired) return retired;
    if (error_) return std::unexpected(*error_);
    if (const auto failure = owner_.failure()) return std::unexpected(end(*failure, last_call_));
    return {};
}

Result<void> DeviceCalls::wait_for_room(Lock& lock, std::size_t operations) {
    while (!error_ && !in_flight_.empty() &&
           (in_flight_.size() >= most_in_flight ||
            operations_in_flight_ + operations > most_operations_in_flight)) {
        ended_.wait_for(lock, std::chrono::microseconds(200));
        if (auto retired = retire(); !retired) return retired;
    }
    if (error_) return std::unexpected(*error_);
    return {};
}

// -------------------------------------------------------------------------------------------------------- What is done

Result<void> DeviceCalls::retire() {
    while (!error_ && !in_flight_.empty()) {
        InFlight& first = in_flight_.front();
        if (!first.is_enqueued) return {};
        const auto reached = first.done->reached();
        if (!reached) return std::unexpected(end(reached.error(), first.record));
        if (first.stream->is_abandoned()) return std::unexpected(end(given_up_before(*first.stream), first.record));
        if (!*reached) return {};
        late_wait_ = {};
        operations_in_flight_ -= first.prepared->call.operations().size();
        free_events_.push_back(std::move(first.begun));
        free_events_.push_back(std::move(first.done));
        in_flight_.pop_front();
    }
    return {};
}

bool DeviceCalls::busy() {
    const std::scoped_lock lock(mutex_);
    return retire() && !in_flight_.empty();
}

void DeviceCalls::wait_until_idle() {
    Lock lock(mutex_);
    while (retire() && !error_ && !in_flight_.empty()) ended_.wait_for(lock, std::chrono::microseconds(500));
    ended_.wait_for(lock, std::chrono::milliseconds(patience_ms), [this] { return in_flight_.empty(); });
}

Result<void> DeviceCalls::settle(const DeviceStream& stream) {
    const std::scoped_lock lock(mutex_);
    if (is_leaving_ || unsettled_.erase(&stream) == 0) return {};
    if (auto retired = retire(); !retired) return retired;
    if (error_) return std::unexpected(*error_);
    if (const auto why = owner_.device_trouble(last_call_, 0, late_wait_))
        return std::unexpected(end(*why, last_call_));
    return {};
}

std::optional<Error> DeviceCalls::failed() {
    const std::scoped_lock lock(mutex_);
    return error_;
}

void DeviceCalls::stream_failed(const DeviceStream& stream, const Error& why) {
    const std::scoped_lock lock(mutex_);
    const auto has_work = std::ranges::find_if(
        in_flight_, [&](const InFlight& each) { return each.stream.get() == &stream; });
    if (has_work != in_flight_.end()) end(why, has_work->record);
}

Error DeviceCalls::refuse_or_end(const Error& error, const Call& call) {
    if (error.status == Status::invalid_argument || error.status == Status::invalid_usage) return error;
    return end(error, record_of(call, {}));
}

// The first error stays.
Error DeviceCalls::end(const Error& error, const CallRecord& call) {
    if (error_ || is_leaving_) return error_.value_or(error);
    error_ = owner_.end_by_device(error, call);
    // Who is told of it may free what the device uses, and a runtime may wait for the device then.
    give_up(patience_ms);
    return *error_;
}

bool DeviceCalls::give_up(std::uint64_t within_ms) {
    std::vector<std::shared_ptr<DeviceStream>> streams;
    for (const InFlight& each : in_flight_)
        if (std::ranges::find(streams, each.stream) == streams.end()) streams.push_back(each.stream);
    const auto abandon_all = [&](std::uint64_t each_ms) {
        Result<void> all;
        for (const auto& stream : streams)
            if (auto ended = stream->abandon(each_ms); !ended) all = ended;
        return all;
    };
    if (!execution_->give_up(abandon_all, within_ms)) return false;
    in_flight_.clear();
    operations_in_flight_ = 0;
    ended_.notify_all();
    return true;
}

// Sleeps for long only when nothing has been in flight for a second: to be woken by each call would cost it more than
// fifty looks a second do.
void DeviceCalls::watch() {
    constexpr auto look_every = std::chrono::milliseconds(20);
    constexpr int looks_before_sleep = 50;
    Lock lock(mutex_);
    for (int idle_looks = 0; !is_leaving_;) {
        idle_looks = in_flight_.empty() ? idle_looks + 1 : 0;
        if (idle_looks > looks_before_sleep) {
            is_watch_asleep_ = true;
            wake_.wait(lock, [this] { return is_leaving_ || !in_flight_.empty(); });
            is_watch_asleep_ = false;
        } else {
            wake_.wait_for(lock, look_every, [this] { return is_leaving_; });
        }
        if (!is_leaving_) look();
    }
}

void DeviceCalls::look() {
    if (error_) {
        // The program's own work may keep a stream from ending.
        if (!in_flight_.empty()) give_up(1);
        return;
    }
    if (!retire() || in_flight_.empty()) return;
    InFlight& first = in_flight_.front();
    if (const auto begun = first.begun->reached(); first.begun_ns == 0 && begun && *begun)
        first.begun_ns = os::now_ns();
    std::optional<Error> why = first.stream->failure();
    if (!why) why = execution_->lane_failure();
    const std::uint64_t waited_ns = first.begun_ns == 0 ? 0 : os::now_ns() - first.begun_ns;
    const CallRecord record = first.record;
    if (!why) why = owner_.device_trouble(record, waited_ns, late_wait_);
    if (why) end(*why, record);
}

std::unique_ptr<DeviceLinks> DeviceCalls::leave() {
    if (watch_.joinable()) {
        {
            const std::scoped_lock lock(mutex_);
            if (retire() && !in_flight_.empty())
                end({Status::aborted, fmt::format("rank {}: the communicator was ended", facts_.rank)}, last_call_);
            is_leaving_ = true;
            if (!in_flight_.empty() && !give_up(patience_ms)) {
                // What may still run must find its memory: it stays until the process ends.
                log(LogLevel::warning, "rank {}: {} still runs what was given up; its memory stays allocated",
                    facts_.rank, device_->name);
                static_cast<void>(new std::shared_ptr<DeviceCalls>(shared_from_this()));
            }
        }
        wake_.notify_all();
        watch_.join();
    }
    const std::scoped_lock lock(mutex_);
    is_leaving_ = true;
    if (!in_flight_.empty()) return nullptr;
    prepared_.clear();
    staging_.clear();
    execution_.reset();
    free_events_.clear();
    own_stream_.reset();
    if (links_ != nullptr) links_->drop_imports();
    return std::move(links_);
}

}  // namespace tenon
