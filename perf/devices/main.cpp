// tenon-perf-devices: collectives between processes on accelerators, below the communicator: plans on device streams.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "library/device_providers.hpp"
#include "library/registry.hpp"
#include "perf/devices/measurement.hpp"
#include "selection/selection.hpp"

namespace tenon::perf {
namespace {

struct Options {
    std::string collective = "all_reduce", provider = "cuda", type = "float32";
    std::vector<std::string> algorithms{};  // none: all that there are
    std::vector<std::uint64_t> sizes{8, 1 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20, 256 << 20};
    Rank ranks = 2;
    unsigned calls = 20;
    Channel channels = 8;
    std::uint64_t slot_bytes = 4 << 20, timeout_ms = 30'000;
};

std::string read_options(int argc, char** argv, Options& options) {
    CLI::App app{"Times and checks collectives between processes on accelerators."};
    app.add_option("collective", options.collective, "all_reduce, all_gather or reduce_scatter");
    app.add_option("--provider", options.provider, "cuda, ascend, or emulated: its times are virtual")
        ->check(CLI::IsMember({"cuda", "ascend", "emulated"}));
    app.add_option("-d,--datatype", options.type, "the type of the elements");
    app.add_option("--algorithm", options.algorithms,
                   "names of the collective's algorithms, one row each; all by default")
        ->delimiter(',');
    app.add_option("--sizes", options.sizes, "bytes of the larger buffer")
        ->delimiter(',')
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--ranks", options.ranks, "processes; they share the devices by turns")->check(CLI::Range(1, 64));
    app.add_option("-n,--calls", options.calls, "calls that are timed")->check(CLI::PositiveNumber);
    app.add_option("--slot", options.slot_bytes, "bytes of a slot")->transform(CLI::AsSizeValue(false));
    app.add_option("--channels", options.channels, "between each two ranks; some algorithms use several")
        ->check(CLI::Range(Channel{1}, max_channels));
    app.add_option("--timeout-ms", options.timeout_ms, "how long a call may take");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& problem) {
        return app.exit(problem) == 0 ? "help" : "wrong options";
    }
    return {};
}

// What one size means in elements of a block.
std::uint64_t count_of(Collective collective, std::uint64_t bytes, DataType type, Rank rank_count) {
    const bool has_blocks = collective == Collective::all_gather || collective == Collective::reduce_scatter;
    const std::uint64_t blocks = has_blocks ? static_cast<std::uint64_t>(rank_count) : 1;
    return std::max<std::uint64_t>(1, bytes / element_bytes(type) / blocks);
}

// As nccl-tests: what the slowest link must carry of each byte.
double bus_factor(Collective collective, Rank rank_count) {
    const double share = static_cast<double>(rank_count - 1) / static_cast<double>(rank_count);
    return collective == Collective::all_reduce ? 2 * share : share;
}

void print_row(const Options& options, const Request& request, const std::string& algorithm,
               const DevicePerfFigures& figures) {
    const std::uint64_t blocks =
        request.collective == Collective::all_reduce ? 1 : static_cast<std::uint64_t>(request.rank_count);
    const auto bytes = static_cast<double>(request.count.value * element_bytes(request.type) * blocks);
    const double algorithm_gbs = bytes / figures.device_us / 1e3;
    fmt::print("{:>12} {:>10} {:>14} {:>11.2f} {:>11.2f} {:>11.2f} {:>9.2f} {:>9.2f} {:>6}\n",
               static_cast<std::uint64_t>(bytes), options.type, algorithm, figures.device_us, figures.host_us,
               figures.enqueue_us, algorithm_gbs, algorithm_gbs * bus_factor(request.collective, request.rank_count),
               figures.wrong);
    std::fflush(stdout);
}

Result<std::unique_ptr<device::Device>> open_device(device::Provider& provider, const DevicePerfRank& rank) {
    const device::DeviceIndex count = provider.device_count();
    auto opened = provider.open(static_cast<device::DeviceIndex>(rank.rank()) % count);
    if (!opened) return opened;
    for (device::DeviceIndex peer = 0; peer < std::min(count, static_cast<device::DeviceIndex>(rank.rank_count()));
         peer++)
        if (auto reached = (*opened)->enable_peer(peer); !reached) return std::unexpected(reached.error());
    return opened;
}

Result<void> run_rank(DevicePerfRank& rank, const Options& options, Collective collective, DataType type,
                      const std::shared_ptr<emulated::Machine>& machine) {
    using Made = Result<std::unique_ptr<device::Provider>>;
    auto provider = machine                          ? Made{emulated_devices(machine)}
                    : options.provider == "ascend" ? ascend_devices()
                                                   : cuda_devices();
    if (!provider) return std::unexpected(provider.error());
    auto device = open_device(**provider, rank);
    if (!device) return std::unexpected(device.error());
    const DeviceIntroductions introduce = [&](std::span<const std::byte> own) { return rank.introduce(own); };
    auto links = DeviceLinks::make(**device, rank.rank(), rank.rank_count(),
                                   {.channels = options.channels, .slot = {options.slot_bytes}}, introduce);
    if (!links) return std::unexpected(links.error());
    {
        StreamExecution execution{**device, **links};
        DevicePerf perf{rank, **device, execution, options.timeout_ms};
        if (rank.rank() == 0)
            fmt::print(
                "# {} between {} processes on {} device(s), {}; slots of {} bytes\n{:>12} {:>10} {:>14} {:>11} {:>11} "
                "{:>11} {:>9} {:>9} {:>6}\n",
                options.collective, options.ranks, (*provider)->device_count(), (*device)->facts().name,
                (*links)->slot_bytes().value, "bytes", "type", "algorithm", "device us", "host us", "enqueue us",
                "alg GB/s", "bus GB/s", "wrong");
        for (const std::uint64_t bytes : options.sizes)
            for (const std::string& name : options.algorithms) {
                const Request request{.collective = collective,
                                      .rank = rank.rank(),
                                      .rank_count = rank.rank_count(),
                                      .count = {count_of(collective, bytes, type, rank.rank_count())},
                                      .type = type};
                const Algorithm* const algorithm = find_algorithm(collective, name);
                if (algorithm == nullptr)
                    return fail(Status::invalid_argument,
                                fmt::format("{} has no algorithm {}", options.collective, name));
                if (!Selection::obstacle(*algorithm, request).empty()) continue;
                const auto figures = perf.measure(*algorithm, request, options.calls);
                if (!figures) return std::unexpected(figures.error());
                if (rank.rank() == 0) print_row(options, request, name, *figures);
                if (figures->wrong != 0) return fail(Status::internal_error, "data was wrong");
            }
    }
    return (*links)->close(introduce);
}

int run(Options options) {
    const auto collective = collective_named(options.collective);
    const auto type = data_type_named(options.type);
    const bool is_known = collective == Collective::all_reduce || collective == Collective::all_gather ||
                          collective == Collective::reduce_scatter;
    if (!is_known || !type) {
        fmt::print(stderr, "{} of {} is not measured here; --help lists what is\n", options.collective, options.type);
        return 1;
    }
    std::shared_ptr<emulated::Machine> machine;
    if (options.provider == "emulated") {
        constexpr std::uint64_t memory_bytes = std::uint64_t{2} << 30;
        const device::Link link{device::LinkClass::server, 170'000'000'000, 700};
        auto description = emulated::MachineDescription::uniform(static_cast<std::uint32_t>(options.ranks), link);
        description.memory = {memory_bytes};
        auto made = emulated::Machine::create(description);
        if (!made) {
            fmt::print(stderr, "{}\n", made.error().message);
            return 1;
        }
        machine = *made;
    }
    if (options.algorithms.empty())
        for (const Algorithm* algorithm : algorithms_of(*collective)) options.algorithms.emplace_back(algorithm->name);
    return run_device_ranks(options.ranks,
                            [&](DevicePerfRank& rank) { return run_rank(rank, options, *collective, *type, machine); });
}

}  // namespace
}  // namespace tenon::perf

int main(int argc, char** argv) {
    tenon::perf::Options options;
    const std::string wrong = tenon::perf::read_options(argc, argv, options);
    if (!wrong.empty()) return wrong == "help" ? 0 : 1;
    return tenon::perf::run(options);
}
