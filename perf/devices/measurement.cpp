#include "perf/devices/measurement.hpp"

#include <bit>
#include <cstring>

#include "os/clock.hpp"
#include "plan/all_ranks.hpp"

namespace tenon::perf {
namespace {

constexpr double ns_per_us = 1e3;

// Small whole numbers, which every type has, and whose sums over a few ranks it has, too.
unsigned contribution(Rank rank, std::uint64_t element) { return (element + static_cast<std::uint64_t>(rank)) % 8; }

std::uint16_t float16_of(unsigned number) {
    if (number == 0) return 0;
    constexpr unsigned bias = 15, mantissa_bits = 10;
    const auto exponent = static_cast<unsigned>(std::bit_width(number)) - 1;
    return static_cast<std::uint16_t>((exponent + bias) << mantissa_bits |
                                      ((number << (mantissa_bits - exponent)) & ((1U << mantissa_bits) - 1)));
}

void store(DataType type, std::byte* at, unsigned number) {
    if (type == DataType::float32) {
        const auto value = static_cast<float>(number);
        std::memcpy(at, &value, sizeof value);
    } else if (type == DataType::float64) {
        const auto value = static_cast<double>(number);
        std::memcpy(at, &value, sizeof value);
    } else if (type == DataType::bfloat16) {
        const auto value = std::bit_cast<std::uint32_t>(static_cast<float>(number)) >> 16;
        std::memcpy(at, &value, 2);
    } else if (type == DataType::float16) {
        const std::uint16_t value = float16_of(number);
        std::memcpy(at, &value, sizeof value);
    } else {
        const std::uint64_t value = number;
        std::memcpy(at, &value, element_bytes(type));
    }
}

std::uint64_t blocks_of(Collective collective, Rank rank_count, bool is_input) {
    const auto ranks = static_cast<std::uint64_t>(rank_count);
    if (collective == Collective::reduce_scatter) return is_input ? ranks : 1;
    if (collective == Collective::all_gather) return is_input ? 1 : ranks;
    return 1;
}

std::vector<std::byte> input_of(const Request& request) {
    const std::size_t width = element_bytes(request.type);
    const std::uint64_t elements = request.count.value * blocks_of(request.collective, request.rank_count, true);
    std::vector<std::byte> input(elements * width);
    for (std::uint64_t i = 0; i < elements; i++) store(request.type, &input[i * width], contribution(request.rank, i));
    return input;
}

unsigned expected(const Request& request, std::uint64_t element) {
    const std::uint64_t count = request.count.value;
    if (request.collective == Collective::all_gather)
        return contribution(static_cast<Rank>(element / count), element % count);
    if (request.collective == Collective::reduce_scatter) element += static_cast<std::uint64_t>(request.rank) * count;
    unsigned sum = 0;
    for (Rank rank = 0; rank < request.rank_count; rank++) sum += contribution(rank, element);
    return sum;
}

}  // namespace

Result<std::uint64_t> DevicePerf::wrong_elements(const Request& request, const std::vector<std::byte>& output) const {
    const std::size_t width = element_bytes(request.type);
    std::uint64_t wrong = 0;
    std::array<std::byte, 8> wanted{};
    for (std::uint64_t i = 0; i < output.size() / width; i++) {
        store(request.type, wanted.data(), expected(request, i));
        wrong += std::memcmp(wanted.data(), &output[i * width], width) != 0 ? 1 : 0;
    }
    return wrong;
}

Result<DevicePerfFigures> DevicePerf::measure(const Algorithm& algorithm, const Request& request, unsigned calls) {
    const auto plans = plans_of_all_ranks(
        algorithm, request, {.rank_count = request.rank_count, .cores = request.rank_count, .has_boards = false});
    if (!plans) return std::unexpected(plans.error());
    const auto plan = execution_.order(*plans, request);
    if (!plan) return std::unexpected(plan.error());
    const std::vector<std::byte> input = input_of(request);
    std::vector<std::byte> output(request.count.value * element_bytes(request.type) *
                                  blocks_of(request.collective, request.rank_count, false));
    auto from = device_.allocate({.bytes = {input.size()}}), into = device_.allocate({.bytes = {output.size()}});
    auto stream = device_.create_stream();
    auto before = device_.create_event(), after = device_.create_event();
    if (!from) return std::unexpected(from.error());
    if (!into) return std::unexpected(into.error());
    if (!stream) return std::unexpected(stream.error());
    if (!before) return std::unexpected(before.error());
    if (!after) return std::unexpected(after.error());
    const auto prepared = execution_.prepare(*plan, request, {(*from)->data(), (*into)->data()});
    if (!prepared) return std::unexpected(prepared.error());

    // In order, until one says no.
    Result<void> done;
    const auto then = [&](auto&& act) {
        if (done) done = act();
    };
    const auto call = [&] { then([&] { return execution_.issue(*prepared, **stream); }); };
    const auto finish = [&] { then([&] { return execution_.synchronize(**stream, timeout_ms_); }); };
    const auto meet = [&] {
        then([&]() -> Result<void> {
            const auto met = rank_.largest(0);
            return met ? Result<void>{} : std::unexpected(met.error());
        });
    };

    DevicePerfFigures figures;
    then([&] { return (*stream)->copy((*from)->data(), input.data(), {input.size()}); });
    for (int warm_up = 0; warm_up < 3; warm_up++) call();
    finish();
    meet();
    then([&] { return (*stream)->record(**before); });
    for (unsigned i = 0; i < calls; i++) call();
    then([&] { return (*stream)->record(**after); });
    finish();
    then([&]() -> Result<void> {
        const auto ns = (*after)->ns_since(**before);
        if (!ns) return std::unexpected(ns.error());
        figures.device_us = static_cast<double>(*ns) / ns_per_us / calls;
        return {};
    });
    meet();
    for (unsigned i = 0; i < calls; i++) {
        const std::uint64_t start_ns = os::now_ns();
        call();
        const std::uint64_t enqueued_ns = os::now_ns();
        finish();
        figures.host_us += static_cast<double>(os::now_ns() - start_ns) / ns_per_us / calls;
        figures.enqueue_us += static_cast<double>(enqueued_ns - start_ns) / ns_per_us / calls;
    }
    then([&] { return (*stream)->copy(output.data(), (*into)->data(), {output.size()}); });
    finish();
    if (!done) return std::unexpected(done.error());

    const auto wrong = wrong_elements(request, output);
    if (!wrong) return std::unexpected(wrong.error());
    const std::array own{figures.device_us, figures.host_us, figures.enqueue_us, static_cast<double>(*wrong)};
    std::array<double, own.size()> slowest{};
    for (std::size_t i = 0; i < own.size(); i++) {
        const auto all = rank_.largest(own[i]);
        if (!all) return std::unexpected(all.error());
        slowest[i] = *all;
    }
    return DevicePerfFigures{slowest[0], slowest[1], slowest[2], static_cast<std::uint64_t>(slowest[3])};
}

}  // namespace tenon::perf
