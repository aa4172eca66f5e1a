// Running calls: the fast path from a call to its prepared program, and what it takes to prepare one.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "communicator/communicator.hpp"
#include "execution/small_run.hpp"
#include "os/clock.hpp"

namespace tenon {
namespace {

// Mixes the call's number into its signature, so that messages of different calls differ.
std::uint32_t numbered(std::uint32_t signature, std::uint64_t call) {
    return signature ^ static_cast<std::uint32_t>(call * 0x9e3779b97f4a7c15u >> 32);
}

std::vector<std::size_t> arrays_of(const Call& call, Rank rank_count) {
    std::vector<std::size_t> all;
    for (const std::size_t* a : {call.send_counts, call.send_offsets, call.receive_counts, call.receive_offsets})
        if (a != nullptr) all.insert(all.end(), a, a + rank_count);
    return all;
}

// The longer a call, the fewer tries tell, and the fewer it takes until the rings' memory has gone around; and the more
// they cost, of which somebody who times a few calls would find many.
PathTrial::Tries tries_of(std::uint64_t bytes, std::uint64_t ring_bytes) {
    const std::uint64_t around = std::max<std::uint64_t>(1, 2 * ring_bytes / bytes);
    constexpr std::uint64_t far_apart = 10;
    if (bytes >= 64 << 20) return {around, 0, 1, far_apart};
    if (bytes >= 16 << 20) return {around, 2, 1, far_apart};
    if (bytes >= 4 << 20) return {around, 2, 2, far_apart};
    if (bytes >= 1 << 20) return {around, 4, 3};
    return {around, std::clamp<std::uint64_t>(around, 6, 16), 6};
}

// Ranks that move more here than others keep in step with them, but for those on either side of one size.
PathTrial::Tries tries_of_v_calls(std::uint64_t bytes) {
    return bytes < 1 << 20 ? PathTrial::Tries{32, 16, 6} : PathTrial::Tries{1, 1, 1};
}

// The calls that share a trial, the same number on every rank: by collective, type, operation, root, and the power of
// two below the bytes. Mixed, since findings are told without the lowest bits.
std::uint64_t class_of(const PreparedCall& p) {
    const auto size = static_cast<std::uint64_t>(std::bit_width(p.path_bytes));
    return (p.key.what | size << 24 | static_cast<std::uint64_t>(p.key.root) << 32) * 0x9e3779b97f4a7c15u;
}

// What one rank tells of this trial, and not of an earlier one of the class.
std::uint64_t finding_of(const PreparedCall& p) { return class_of(p) + p.path->beginnings() * 0xd1b54a32d192ed03u; }

// What a v-call moves here, the larger way; only all_to_all_v's ranks may differ in it.
std::uint64_t v_call_bytes(const Call& call, Rank rank_count) {
    std::uint64_t most = 0;
    for (const std::size_t* counts : {call.send_counts, call.receive_counts})
        if (counts != nullptr)
            most = std::max<std::uint64_t>(most, std::accumulate(counts, counts + rank_count, std::uint64_t{0}));
    return most * element_bytes(call.type);
}

bool same_arrays(const std::vector<std::size_t>& known, const Call& call, Rank rank_count) {
    const std::size_t* at = known.data();
    const auto n = static_cast<std::size_t>(rank_count);
    for (const std::size_t* a : {call.send_counts, call.send_offsets, call.receive_counts, call.receive_offsets}) {
        if (a == nullptr) continue;
        if (static_cast<std::size_t>(at - known.data()) + n > known.size()) return false;
        if (!std::equal(a, a + n, at)) return false;
        at += n;
    }
    return true;
}

}  // namespace

Result<void> Communicator::run(const Call& call) {
    if (busy()) [[unlikely]] wait_for_turns();  // what streams run uses the same state
    if (is_point_to_point(call.collective)) return run_alone(call);
    PreparedCall* prepared = prepared_.find(CallKey::of(call));
    if (prepared != nullptr && prepared->program.small && prepared->settled && serves(*prepared, call) &&
        call.factor == nullptr && (call.send != nullptr || !prepared->needs_send) &&
        (call.receive != nullptr || !prepared->needs_receive) && runs_as_it_is(call.send, call.receive, *prepared) &&
        nothing_stands_in_the_way() && runs_as_found(*prepared)) [[likely]]
        return run_small(call.send, call.receive, *prepared);
    if (auto ok = start(call, prepared); !ok) [[unlikely]] return ok;
    const Progress progress = advance();
    control_.record(record_);
    if (progress == Progress::done) {
        note_elapsed();
        if (control_.somebody_sleeps()) control_.ring();
        return {};
    }
    if (progress == Progress::failed) return std::unexpected(fail_call());
    return finish();
}

// What a group of one does, without what a group must remember.
Result<void> Communicator::run_alone(const Call& call) {
    PreparedCall* prepared = alone_.find(CallKey::of(call));
    const auto* const buffer =
        static_cast<const std::byte*>(call.collective == Collective::send ? call.send : call.receive);
    if (prepared == nullptr || buffer == nullptr) [[unlikely]] {
        auto made = prepare_alone(call);
        if (!made) return std::unexpected(made.error());
        prepared = *made;
    }
    if (control_.failed() || stopped_.load(std::memory_order_relaxed)) [[unlikely]]
        if (auto ok = refuse_if_over(); !ok) return ok;
    call_started_ns_ = 0;
    record_ = {};  // pairs have no call number in common: their messages alone tell
    has_sent_or_received_ = true;
    traffic_.add(prepared->traffic);
    execution_.begin(prepared->program, {buffer, nullptr, nullptr}, prepared->program.signature, decisions_.access);
    return finish();
}

Result<PreparedCall*> Communicator::prepare_alone(const Call& call) {
    if (auto ok = check(call, rank_, rank_count_); !ok) return std::unexpected(ok.error());
    if (auto ok = refuse_if_over(); !ok) return std::unexpected(ok.error());
    const PointToPoint alone{.is_send = call.collective == Collective::send, .peer = call.root,
                             .bytes = call.count * element_bytes(call.type), .type = call.type};
    auto program = point_to_point_program({&alone, 1}, rank_, *transport_);
    if (!program) return std::unexpected(over(program.error()));
    auto prepared = std::make_unique<PreparedCall>();
    prepared->key = CallKey::of(call);
    prepared->program = std::move(*program);
    prepared->traffic = ProgramTraffic::of(prepared->program, *traffic_.levels());
    return alone_.put(std::move(prepared));
}

// Ends the communicator with what has made the execution fail.
const Error& Communicator::fail_call() {
    execution_error_ = over(explain(execution_error_));
    wait_until_others_stand_back();
    return execution_error_;
}

// Every call counts, however soon it is done: ranks try the same way at the same time.
inline void Communicator::note_elapsed() {
    if (call_started_ns_ == 0) return;
    PathTrial& trial = *running_->path;
    tries_++;
    trial.took(os::now_ns() - call_started_ns_, running_->path_bytes);
    if (!trial.decided()) return;
    if (tells(*running_)) control_.tell_finding(finding_of(*running_), trial.path().number());
    if (trial.changed())
        log(LogLevel::debug, "rank {}: {} of {} bytes and up to twice as many: {}", rank_,
            name_of(running_->program.collective), std::bit_floor(running_->path_bytes), trial.explanation());
}

// How the call's memory is reached: not at all where no peer can address it and it is too little for the kernel to
// copy. What is longer looks all the same for places that a peer may have offered.
inline AccessPolicy Communicator::access(const PreparedCall& prepared, const void* send, const void* receive) const {
    AccessPolicy access = prepared.access;
    const Program& program = prepared.program;
    if (program.small && !program.packed && !program.only_sends && program.moved_bytes < access.copy_min_bytes &&
        !transport_->shares(send) && !transport_->shares(receive))
        access.direct_min_bytes = UINT64_MAX;
    return access;
}

Result<void> Communicator::run_small(const void* send, void* receive, PreparedCall& prepared) {
    const Program& program = prepared.program;
    const std::uint64_t number = ++call_number_;
    running_ = &prepared;
    const auto meanwhile = [&] {
        note(prepared);
        control_.record(record_);
        if (control_.somebody_sleeps()) [[unlikely]] control_.ring();
    };
    if (execution_.run_small(
            program, {static_cast<const std::byte*>(send), static_cast<std::byte*>(receive), scratch_.data()},
            numbered(program.signature, number), access(prepared, send, receive), decisions_.wait.spins, meanwhile))
        [[likely]]
        return {};
    call_started_ns_ = 0;
    return finish();
}

void Communicator::remember(const CallWords& words) {
    if (running_ == nullptr || !running_->program.small) return;
    repeated_ = words;
    running_small_ = running_;
}

inline void Communicator::note(const PreparedCall& prepared) {
    const Program& program = prepared.program;
    record_ = {call_number_, program.count, program.signature, program.collective,
               program.type, program.op,    program.root};
    traffic_.add(prepared.traffic);
}

// Beside its key, a v-call has arrays.
inline bool Communicator::serves(const PreparedCall& prepared, const Call& call) const {
    return !is_v(call.collective) || (prepared.count == call.count && same_arrays(prepared.arrays, call, rank_count_));
}

inline Result<void> Communicator::start(const Call& call, PreparedCall* prepared) {
    if (prepared == nullptr || !serves(*prepared, call)) {
        auto made = prepare(call);
        if (!made) return std::unexpected(made.error());
        prepared = *made;
    }
    return begin(call, *prepared);
}

Result<void> Communicator::start(const Call& call) {
    if (auto ok = start(call, prepared_.find(CallKey::of(call))); !ok) return ok;
    control_.record(record_);
    return {};
}

// Everything between a call that is ready to run and its first message.
Result<void> Communicator::begin(const Call& call, PreparedCall& prepared) {
    if ((prepared.needs_send && call.send == nullptr) || (prepared.needs_receive && call.receive == nullptr))
        [[unlikely]]
        return check(call, rank_, rank_count_);
    if (control_.failed() || stopped_.load(std::memory_order_relaxed)) [[unlikely]]
        return refuse_if_over();
    const auto* input = static_cast<const std::byte*>(call.send);
    auto* output = static_cast<std::byte*>(call.receive);
    const Program& program = prepared.program;
    if (call.factor != nullptr || (prepared.copies_input_in_place && input == output)) [[unlikely]]
        input = staged_input(call, prepared.input_bytes);
    if (prepared.path != nullptr) follow_trial(prepared);
    call_started_ns_ = prepared.path == nullptr || prepared.path->decided() ? 0 : os::now_ns();
    running_ = &prepared;
    ++call_number_;
    note(prepared);
    execution_.begin(program, {input, output, scratch(program.scratch_bytes)},
                     numbered(program.signature, call_number_), access(prepared, input, output));
    return {};
}

Result<void> Communicator::finish() {
    Backoff backoff(decisions_.wait);
    for (;;) {
        switch (poll(backoff)) {
            case Progress::done: return {};
            case Progress::failed: return std::unexpected(execution_error_);
            case Progress::blocked: break;
        }
    }
}

// What can be done now.
inline Progress Communicator::advance() {
    if (is_networked_) [[unlikely]] return advance_with_network();
    const Progress progress = under_way_->advance();
    if (progress == Progress::failed) [[unlikely]] execution_error_ = under_way_->error();
    return progress;
}

// The same, and what the network then takes or brings. A call is done when its messages need it no longer.
Progress Communicator::advance_with_network() {
    // Where the last look was behind the network's, the network has its turn first.
    const bool looked = std::exchange(has_looked_, false);
    const Progress progress = looked ? Progress::blocked : under_way_->advance();
    if (progress == Progress::failed) {
        execution_error_ = under_way_->error();
        return progress;
    }
    const bool moved = !looked && under_way_->moved();
    // Credits for what it has taken may wait for the next call: the peer needs none before it sends what that receives.
    const bool had_gone = std::exchange(all_has_gone_, false);
    if (progress == Progress::done && had_gone && !under_way_->sent()) return progress;
    const auto all_gone = transport_->progress();
    if (!all_gone) {
        execution_error_ = all_gone.error();
        return Progress::failed;
    }
    if (progress == Progress::done && *all_gone) return progress;
    // Who has not moved may sleep now, and what the network has just brought would wake nobody.
    if (moved) {
        all_has_gone_ = *all_gone;
        return Progress::blocked;
    }
    const Progress brought = under_way_->advance();
    const bool has_gone = *all_gone && !under_way_->sent();
    if (brought == Progress::done && has_gone) return brought;
    all_has_gone_ = has_gone;
    has_looked_ = brought == Progress::blocked && !under_way_->moved();
    if (brought != Progress::failed) return Progress::blocked;
    execution_error_ = under_way_->error();
    return Progress::failed;
}

// One more look at a started call; waits a little where nothing moves.
Progress Communicator::poll(Backoff& backoff) {
    const Progress progress = advance();
    if (progress != Progress::failed && under_way_->moved() && control_.somebody_sleeps()) control_.ring();
    switch (progress) {
        case Progress::done:
            note_elapsed();
            return progress;
        case Progress::failed:
            fail_call();
            return progress;
        case Progress::blocked:
            if (under_way_->moved()) {
                backoff.reset();
            } else if (backoff.pause(*this)) {
                if (auto ok = look(*under_way_, backoff.waited_ns()); !ok) {
                    execution_error_ = over(ok.error());
                    wait_until_others_stand_back();
                    return Progress::failed;
                }
            }
            return progress;
    }
    return progress;
}

Result<void> Communicator::run_in_turn(const Call& call) {
    if (auto ok = start(call); !ok) return ok;
    return finish();
}

Result<void> Communicator::run_in_turn(Work& exchange, const CallRecord& call,
                                       const std::function<Result<void>(std::uint32_t)>& begin) {
    if (auto ok = refuse_if_over(); !ok) return ok;
    call_started_ns_ = 0;
    record_ = call;
    record_.number = ++call_number_;
    exchange.heed(control_.failure_flag());
    if (auto begun = begin(numbered(call.signature, call_number_)); !begun) return std::unexpected(over(begun.error()));
    control_.record(record_);
    under_way_ = &exchange;
    const auto done = [this](Work*) { under_way_ = &execution_; };
    const std::unique_ptr<Work, decltype(done)> until_done(&exchange, done);
    return finish();
}

Result<void> Communicator::start(std::span<const PointToPoint> calls) {
    if (auto ok = refuse_if_over(); !ok) return ok;
    if (!std::ranges::equal(calls, point_to_point_calls_)) {
        auto program = point_to_point_program(calls, rank_, *transport_);
        if (!program) return std::unexpected(over(program.error()));
        point_to_point_ = std::move(*program);
        point_to_point_calls_.assign(calls.begin(), calls.end());
        point_to_point_traffic_ = ProgramTraffic::of(point_to_point_, *traffic_.levels());
    }
    call_started_ns_ = 0;
    record_ = {};  // pairs have no call number in common: their messages alone tell
    has_sent_or_received_ = true;
    traffic_.add(point_to_point_traffic_);
    execution_.begin(point_to_point_, {}, point_to_point_.signature, decisions_.access);
    return {};
}

Request Communicator::request_of(const Call& call) const {
    return {.collective = call.collective,
            .rank = rank_,
            .rank_count = rank_count_,
            .count = {call.count},
            .type = call.type,
            .op = call.op,
            .root = call.root,
            .deterministic = config_.deterministic};
}

// What is wrong with the call, or what no rank can serve, leaves the communicator as it was. What only this rank lacks,
// as memory for its rings, ends it for all: the others wait for it.
Result<PreparedCall*> Communicator::prepare(const Call& call) {
    repeated_ = {};  // what it means may be evicted
    running_small_ = nullptr;
    if (auto ok = check(call, rank_, rank_count_); !ok) return std::unexpected(ok.error());
    if (auto ok = refuse_if_over(); !ok) return std::unexpected(ok.error());
    auto prepared = std::make_unique<PreparedCall>();
    prepared->key = CallKey::of(call);
    const Request request = request_of(call);
    const std::uint64_t block = call.count * element_bytes(call.type);
    if (is_v(call.collective)) {
        auto program = exchange_program({call.collective, call.type, call.op, rank_, rank_count_, call.send_counts,
                                         call.send_offsets, call.receive_counts, call.receive_offsets}, *transport_);
        if (!program) return std::unexpected(over(program.error()));
        prepared->program = std::move(*program);
        prepared->traffic = ProgramTraffic::of(prepared->program, *traffic_.levels());
        prepared->count = call.count;
        prepared->arrays = arrays_of(call, rank_count_);
        prepared->needs_send = prepared->needs_receive = false;  // depends on the counts; checked already
        if (call.collective == Collective::reduce_scatter_v)
            for (Rank r = 0; r < rank_count_; r++)
                prepared->input_bytes += call.receive_counts[r] * element_bytes(call.type);
        if (is_networked_) prepared->program.small = false;
        scratch(prepared->program.scratch_bytes);
        prepare_path(*prepared, v_call_bytes(call, rank_count_));
        return prepared_.put(std::move(prepared));
    }
    auto chosen = selection_.choose(request, topology_, &priced_choices_);
    if (!chosen) return std::unexpected(chosen.error());
    auto plan = plans_.plan_for(*chosen->algorithm, request, topology_);
    if (!plan) return std::unexpected(plan.error());
    auto program = bind(**plan, request, *transport_);
    if (!program) return std::unexpected(over(program.error()));
    prepared->program = std::move(*program);
    prepared->traffic = ProgramTraffic::of(prepared->program, *traffic_.levels());
    prepared->program.algorithm = chosen->algorithm->name.data();
    prepared->copies_input_in_place = !chosen->algorithm->in_place || call.collective == Collective::all_to_all;
    prepared->input_bytes = block * input_blocks(call.collective, rank_, rank_count_, call.root);
    prepared->output_bytes = block * output_blocks(call.collective, rank_, rank_count_, call.root);
    if (is_networked_) prepared->program.small = false;  // whose short way calls no progress()
    prepared->needs_send = prepared->input_bytes != 0;
    prepared->needs_receive = prepared->output_bytes != 0;
    scratch(prepared->program.scratch_bytes);
    prepare_path(*prepared, large_buffer_bytes(request).value);
    return prepared_.put(std::move(prepared));
}

// Decides how the call's bytes travel, or what to try for it first. `bytes` are the same on every rank (but for
// all_to_all_v, where trials of ranks that differ much may disturb each other), so that all try the same way at the
// same time.
void Communicator::prepare_path(PreparedCall& prepared, std::uint64_t bytes) {
    const std::uint64_t size = std::bit_floor(bytes);
    const Path worth_trying = {.streaming_stores = decisions_.try_streaming_stores && size >= small_bytes,
                               .streaming_slots = decisions_.try_streaming_stores && size >= streaming_slot_bytes,
                               .kernel_copies = decisions_.try_kernel_copies && size >= kernel_copy_bytes};
    // Over a network, these make no difference that could be told.
    const Path ways = is_networked_ ? Path{} : worth_trying;
    if (ways != Path{}) {
        const auto tries =
            is_v(prepared.program.collective) ? tries_of_v_calls(size) : tries_of(size, transport_->ring_bytes());
        prepared.path_bytes = bytes;
        prepared.path = &trials_.try_emplace(class_of(prepared), ways, tries).first->second;
    }
    settle(prepared);
}

// Whether this rank's finding is the one that counts: it must be one that receives, since who only sends is done early.
bool Communicator::tells(const PreparedCall& prepared) const {
    const Collective collective = prepared.program.collective;
    const bool root_sends = collective == Collective::broadcast || collective == Collective::scatter;
    return rank_ == (prepared.key.root + (root_sends ? 1 : 0)) % rank_count_;
}

void Communicator::follow_trial(PreparedCall& prepared) {
    prepared.path->next_call();
    if (!prepared.settled || prepared.path_beginnings != prepared.path->beginnings()) settle(prepared);
}

// What the trial has found, or tries next.
void Communicator::settle(PreparedCall& prepared) {
    const bool asks = prepared.path != nullptr && !tells(prepared) && prepared.path->asks_others();
    const auto found = asks ? control_.finding(finding_of(prepared)) : std::nullopt;
    if (found) prepared.path->adopt(Path::of_number(*found));
    const Path path = prepared.path != nullptr ? prepared.path->path() : Path{};
    AccessPolicy access = decisions_.access;
    access.streaming_slots = path.streaming_slots || decisions_.always_streams;
    access.streaming_stores = path.streaming_stores || (decisions_.always_streams &&
                                                        prepared.program.moved_bytes >= decisions_.streaming_min_bytes);
    if (path.kernel_copies) access.copy_min_bytes = std::min(access.copy_min_bytes, kernel_copy_bytes);
    prepared.access = access;
    prepared.path_beginnings = prepared.path != nullptr ? prepared.path->beginnings() : 0;
    prepared.settled = prepared.path == nullptr || (prepared.path->decided() && (!asks || found));
}

// Memory for the largest program so far; grown when a program is prepared, so that running never allocates.
std::byte* Communicator::scratch(std::uint64_t bytes) {
    if (bytes > scratch_.size()) [[unlikely]] scratch_.resize(bytes);
    return scratch_.data();
}

// A copy of the input where the algorithm may not read the caller's: multiplied by the call's factor if it has one.
const std::byte* Communicator::staged_input(const Call& call, std::uint64_t bytes) {
    if (bytes == 0) return nullptr;
    if (bytes > staged_.size()) staged_.resize(bytes);
    if (call.factor != nullptr) {
        scale_elements(call.type, staged_.data(), call.send, call.factor, bytes / element_bytes(call.type));
    } else {
        std::memcpy(staged_.data(), call.send, bytes);
    }
    return staged_.data();
}

}  // namespace tenon
