// C++20 over the C API (tenon.h): handles that release themselves, buffers that know their type and size, exceptions.
//
//   tenon::Communicator ranks(rank_count, id, rank);
//   std::vector<float> gradient = ...;
//   ranks.all_reduce(gradient, tenonAvg);
//
// A buffer is anything contiguous that can be borrowed (std::span, std::vector, std::array, tenon::Memory) of elements
// with a tenon::datatype_of. Sizes are checked against each other before the C API is called; everything that fails
// throws tenon::Exception. What a call means, how it may be in place, and which threads may make it is said in tenon.h;
// a buffer must outlive the call, which in a stream ends later than the function returns. Handles convert to those of
// the C API, for the calls that have no need of a wrapper. Header only; moved-from objects may only be assigned or
// destroyed.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tenon/handles.hpp"

namespace tenon {
inline namespace api {

// Issues the calls that `calls` makes as one group (tenonGroupStart). When `calls` throws, nothing of the group is
// issued.
template <std::invocable F>
void group(F&& calls) {
    check(tenonGroupStart());
    try {
        std::forward<F>(calls)();
    } catch (...) {
        tenonBarrier(nullptr, nullptr);  // a wrong argument makes the group issue nothing
        tenonGroupEnd();
        throw;
    }
    check(tenonGroupEnd());
}

// --------------------------------------------------------------------------------------------------- Communicators

// tenonGetUniqueId: made by one rank, who gives the bytes to the others.
inline tenonUniqueId unique_id() {
    tenonUniqueId id;
    check(tenonGetUniqueId(&id));
    return id;
}

// tenonGetUniqueIdForJob: made by every rank from the name that they share.
inline tenonUniqueId unique_id_for_job(const std::string& job) {
    tenonUniqueId id;
    check(tenonGetUniqueIdForJob(job.c_str(), &id));
    return id;
}

// tenonConfig_t; what is not set follows the environment.
struct Settings {
    std::optional<bool> deterministic{};
    std::optional<std::chrono::milliseconds> timeout{};
    std::optional<std::uint64_t> slot_memory_bytes{};
    std::string algorithm{};
    tenonDevice_t device = nullptr;  // a tenon::Device (device.hpp), which outlives the communicator

    tenonConfig_t config() const {  // borrows the algorithm's name
        tenonConfig_t config = TENON_CONFIG_INITIALIZER;
        if (deterministic) config.deterministic = *deterministic ? 1 : 0;
        if (timeout) config.timeoutMs = timeout->count();
        if (slot_memory_bytes) config.slotMemoryBytes = *slot_memory_bytes;
        if (!algorithm.empty()) config.algorithm = algorithm.c_str();
        config.device = device;
        return config;
    }
};

// One rank's membership. The destructor ends it: in order, or, while an exception that was thrown after the
// communicator was made unwinds the stack, by aborting it, so that the other ranks learn of it instead of waiting.
class Communicator {
public:
    Communicator(int rank_count, const tenonUniqueId& id, int rank, const Settings& settings = {})
        : Communicator(join(rank_count, id, rank, settings)) {}

    explicit Communicator(tenonComm_t owned) : comm_(owned, End{std::uncaught_exceptions()}) {
        check(tenonCommCount(owned, &rank_count_));
        check(tenonCommUserRank(owned, &rank_));
    }

    // tenonCommInitAll: all ranks in this process, one for each thread that will use them.
    static std::vector<Communicator> create_all(int rank_count) {
        std::vector<tenonComm_t> comms(rank_count > 0 ? static_cast<std::size_t>(rank_count) : 0);
        check(tenonCommInitAll(comms.data(), rank_count, nullptr));
        return {std::make_move_iterator(comms.begin()), std::make_move_iterator(comms.end())};
    }

    operator tenonComm_t() const noexcept { return comm_.get(); }
    int rank() const noexcept { return rank_; }
    int rank_count() const noexcept { return rank_count_; }

    // tenonCommSplit; no communicator for a rank with TENON_SPLIT_NOCOLOR. Without settings, those of this one.
    std::optional<Communicator> split(int color, int key, const std::optional<Settings>& settings = std::nullopt) {
        tenonComm_t part = nullptr;
        tenonConfig_t config = TENON_CONFIG_INITIALIZER;
        if (settings) config = settings->config();
        check(tenonCommSplit(*this, color, key, &part, settings ? &config : nullptr));
        if (color != TENON_SPLIT_NOCOLOR) must_be_made(part);
        return part == nullptr ? std::nullopt : std::optional<Communicator>(std::in_place, part);
    }
    void finalize() { check(tenonCommFinalize(*this)); }
    void abort() { check(tenonCommAbort(comm_.release())); }

    std::string algorithm(tenonCollective_t collective, std::size_t count, tenonDataType_t type,
                          tenonRedOp_t op = tenonSum) const {
        const char* name = nullptr;
        check(tenonCommAlgorithm(*this, collective, count, type, op, &name));
        return name;
    }
    std::string transport(int peer) const {
        const char* name = nullptr;
        check(tenonCommTransport(*this, peer, &name));
        return name;
    }
    std::uint64_t slot_memory_bytes() const {
        std::uint64_t bytes = 0;
        check(tenonCommSlotMemory(*this, &bytes));
        return bytes;
    }

    // tenonCommTraffic: what this rank has sent so far, level by level, the innermost first.
    std::vector<tenonTraffic_t> traffic() const {
        int count = 0;
        check(tenonCommLevelCount(*this, &count));
        std::vector<tenonTraffic_t> levels(static_cast<std::size_t>(count));
        for (int level = 0; level < count; ++level)
            check(tenonCommTraffic(*this, level, &levels[static_cast<std::size_t>(level)]));
        return levels;
    }

    // ------------------------------------------------------------------------------------------------- Reductions

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void all_reduce(In&& input, Out&& output, tenonRedOp_t op = tenonSum, tenonStream_t stream = nullptr) {
        must_equal("all_reduce: elements of the output", std::ranges::size(output), std::ranges::size(input));
        check(tenonAllReduce(data(input), data(output), std::ranges::size(input), datatype_in<In>, op, *this, stream));
    }
    template <OutputBuffer InOut>
    void all_reduce(InOut&& buffer, tenonRedOp_t op = tenonSum, tenonStream_t stream = nullptr) {
        all_reduce(buffer, buffer, op, stream);
    }

    template <InputBuffer In, OutputBuffer Out>  // `output` is ignored, and may be empty, on other ranks than root
    requires SameElements<In, Out>
    void reduce(In&& input, Out&& output, tenonRedOp_t op, int root, tenonStream_t stream = nullptr) {
        if (rank_ == root)
            must_equal("reduce: elements of the output", std::ranges::size(output), std::ranges::size(input));
        check(
            tenonReduce(data(input), data(output), std::ranges::size(input), datatype_in<In>, op, root, *this, stream));
    }

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void reduce_scatter(In&& input, Out&& output, tenonRedOp_t op = tenonSum, tenonStream_t stream = nullptr) {
        must_equal("reduce_scatter: elements of the input", std::ranges::size(input), all(std::ranges::size(output)));
        check(tenonReduceScatter(data(input), data(output), std::ranges::size(output), datatype_in<In>, op, *this,
                                 stream));
    }

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void reduce_scatter_v(In&& input, Out&& output, std::span<const std::size_t> counts, tenonRedOp_t op = tenonSum,
                          tenonStream_t stream = nullptr) {
        must_fit("reduce_scatter_v: the input", std::ranges::size(input), counts, {});
        must_equal("reduce_scatter_v: elements of the output", std::ranges::size(output), counts[own()]);
        check(tenonReduceScatterv(data(input), data(output), counts.data(), datatype_in<In>, op, *this, stream));
    }

    // ------------------------------------------------------------------------------------------------- Movement

    template <OutputBuffer InOut>
    void broadcast(InOut&& buffer, int root, tenonStream_t stream = nullptr) {
        check(tenonBcast(data(buffer), std::ranges::size(buffer), datatype_in<InOut>, root, *this, stream));
    }

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void all_gather(In&& input, Out&& output, tenonStream_t stream = nullptr) {
        must_equal("all_gather: elements of the output", std::ranges::size(output), all(std::ranges::size(input)));
        check(tenonAllGather(data(input), data(output), std::ranges::size(input), datatype_in<In>, *this, stream));
    }

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void all_gather_v(In&& input, Out&& output, std::span<const std::size_t> counts,
                      std::span<const std::size_t> displacements, tenonStream_t stream = nullptr) {
        must_fit("all_gather_v: the output", std::ranges::size(output), counts, displacements);
        check(tenonAllGatherv(data(input), std::ranges::size(input), data(output), counts.data(), displacements.data(),
                              datatype_in<In>, *this, stream));
    }

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void all_to_all(In&& input, Out&& output, tenonStream_t stream = nullptr) {
        const std::size_t count = std::ranges::size(input) / static_cast<std::size_t>(rank_count_);
        must_equal("all_to_all: elements of the input", std::ranges::size(input), all(count));
        must_equal("all_to_all: elements of the output", std::ranges::size(output), std::ranges::size(input));
        check(tenonAlltoAll(data(input), data(output), count, datatype_in<In>, *this, stream));
    }

    template <InputBuffer In, OutputBuffer Out>
    requires SameElements<In, Out>
    void all_to_all_v(In&& input, std::span<const std::size_t> send_counts,
                      std::span<const std::size_t> send_displacements, Out&& output,
                      std::span<const std::size_t> receive_counts, std::span<const std::size_t> receive_displacements,
                      tenonStream_t stream = nullptr) {
        must_fit("all_to_all_v: the input", std::ranges::size(input), send_counts, send_displacements);
        must_fit("all_to_all_v: the output", std::ranges::size(output), receive_counts, receive_displacements);
        check(tenonAlltoAllv(data(input), send_counts.data(), send_displacements.data(), data(output),
                             receive_counts.data(), receive_displacements.data(), datatype_in<In>, *this, stream));
    }

    template <InputBuffer In, OutputBuffer Out>  // `output` is ignored, and may be empty, on other ranks than root
    requires SameElements<In, Out>
    void gather(In&& input, Out&& output, int root, tenonStream_t stream = nullptr) {
        if (rank_ == root)
            must_equal("gather: elements of the output", std::ranges::size(output), all(std::ranges::size(input)));
        check(tenonGather(data(input), data(output), std::ranges::size(input), datatype_in<In>, root, *this, stream));
    }

    template <InputBuffer In, OutputBuffer Out>  // `input` is ignored, and may be empty, on other ranks than root
    requires SameElements<In, Out>
    void scatter(In&& input, Out&& output, int root, tenonStream_t stream = nullptr) {
        if (rank_ == root)
            must_equal("scatter: elements of the input", std::ranges::size(input), all(std::ranges::size(output)));
        check(tenonScatter(data(input), data(output), std::ranges::size(output), datatype_in<In>, root, *this, stream));
    }

    template <InputBuffer In>
    void send(In&& input, int peer, tenonStream_t stream = nullptr) {
        check(tenonSend(data(input), std::ranges::size(input), datatype_in<In>, peer, *this, stream));
    }
    template <OutputBuffer Out>
    void receive(Out&& output, int peer, tenonStream_t stream = nullptr) {
        check(tenonRecv(data(output), std::ranges::size(output), datatype_in<Out>, peer, *this, stream));
    }

    void barrier(tenonStream_t stream = nullptr) { check(tenonBarrier(*this, stream)); }

private:
    struct End {
        using pointer = tenonComm_t;
        int exceptions_before;  // in flight when the communicator was made
        void operator()(tenonComm_t comm) const noexcept {
            std::uncaught_exceptions() > exceptions_before ? tenonCommAbort(comm) : tenonCommDestroy(comm);
        }
    };

    static tenonComm_t join(int rank_count, const tenonUniqueId& id, int rank, const Settings& settings) {
        tenonConfig_t config = settings.config();
        tenonComm_t comm = nullptr;
        check(tenonCommInitRankConfig(&comm, rank_count, id, rank, &config));
        must_be_made(comm);
        return comm;
    }

    // Inside a group it would be made when the group ends, and this could not own it.
    static void must_be_made(tenonComm_t comm) {
        if (comm != nullptr) return;
        tenonBarrier(nullptr, nullptr);  // a wrong argument makes the group issue nothing
        throw Exception(tenonInvalidUsage, "no tenon::Communicator is made inside a group; use the calls of tenon.h");
    }

    template <class R>
    static auto data(R& range) noexcept {
        return std::ranges::data(range);
    }
    std::size_t own() const noexcept { return static_cast<std::size_t>(rank_); }
    std::size_t all(std::size_t count) const noexcept { return count * static_cast<std::size_t>(rank_count_); }

    void must_equal(const char* what, std::size_t found, std::size_t needed) const {
        if (found == needed) return;
        throw Exception(tenonInvalidArgument, "rank " + std::to_string(rank_) + ", " + what + ": " +
                                                  std::to_string(found) + ", where " + std::to_string(needed) +
                                                  " are needed");
    }

    // Blocks of `counts` elements at `displacements`, or packed where there are none, lie within `size` elements.
    void must_fit(const char* what, std::size_t size, std::span<const std::size_t> counts,
                  std::span<const std::size_t> displacements) const {
        must_equal(what, counts.size(), all(1));
        if (!displacements.empty()) must_equal(what, displacements.size(), all(1));
        std::size_t end = 0;
        for (std::size_t r = 0; r < counts.size(); ++r) {
            const std::size_t first = displacements.empty() ? end : displacements[r];
            if (first > size || counts[r] > size - first)
                throw Exception(tenonInvalidArgument, "rank " + std::to_string(rank_) + ", " + what + " has " +
                                                          std::to_string(size) + " elements, but the block of rank " +
                                                          std::to_string(r) + " ends at " + std::to_string(first) +
                                                          " + " + std::to_string(counts[r]));
            end = first + counts[r];
        }
    }

    std::unique_ptr<std::remove_pointer_t<tenonComm_t>, End> comm_;
    int rank_ = 0;
    int rank_count_ = 0;
};

}  // namespace api
}  // namespace tenon
