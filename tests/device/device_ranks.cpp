#include "tests/device/device_ranks.hpp"

namespace tenon::support {
namespace {

DeviceBench bench_of(device::Provider& provider, Rank rank, Rank rank_count) {
    const auto index = static_cast<device::DeviceIndex>(rank) % provider.device_count();
    DeviceBench bench{provider, index};
    for (Rank peer = 0; peer < rank_count; peer++)
        must(bench.device->enable_peer(static_cast<device::DeviceIndex>(peer) % provider.device_count()));
    return bench;
}

}  // namespace

DeviceRank::DeviceRank(device::Provider& provider, const DeviceRankOptions& options)
    : rank_{options.rank},
      introduce_{options.introduce},
      bench_{bench_of(provider, options.rank, options.rank_count)},
      links_{must(DeviceLinks::make(*bench_.device, options.rank, options.rank_count, options.links, introduce_))},
      execution_{std::make_unique<StreamExecution>(*bench_.device, *links_)} {}

void DeviceRank::close() {
    execution_.reset();
    must(links_->close(introduce_));
}

std::string DeviceRank::run(std::span<const Plan> plans, const Request& request, const Reference& reference,
                            bool in_place) {
    const auto input = reference.input(rank_);
    const std::size_t output_bytes = reference.output(rank_).size();
    const std::size_t width = element_bytes(request.type);
    const std::size_t offset = in_place_offset(reference.shape(), rank_) * width;
    // In place, the smaller lies in the larger.
    const bool input_is_larger = input.size() > output_bytes;
    const auto larger = bench_.allocate(std::max(input.size(), output_bytes) + 1);
    const auto apart = bench_.allocate(output_bytes + 1);
    std::byte* const from = larger->data() + (in_place && !input_is_larger ? offset : 0);
    std::byte* const into = !in_place ? apart->data() : larger->data() + (input_is_larger ? offset : 0);
    std::vector<std::byte> result(output_bytes);
    const auto source = bench_.allocate(input.size() + 1);
    if (!input.empty()) bench_.put(source->data(), input);
    const auto plan = execution_->order(plans, request);
    if (!plan) return plan.error().message;
    const auto call = execution_->prepare(*plan, request, {from, into});
    if (!call) return call.error().message;
    for (int time = 0; time < 2; time++) {
        if (!input.empty()) must(bench_.stream->copy(from, source->data(), {input.size()}));
        if (auto issued = execution_->issue(*call, *bench_.stream); !issued) return issued.error().message;
    }
    if (auto done = execution_->synchronize(*bench_.stream, patience_ms); !done) return done.error().message;
    if (output_bytes != 0) result = bench_.get(into, output_bytes);
    return reference.difference(rank_, result).value_or("");
}

}  // namespace tenon::support
