// tenon-perf: times and checks the library's collectives, as its users call them.
//
// The ranks are the processes of a launcher (torchrun, mpirun, srun, tenon run), or, with --ranks, processes that this
// one starts; or threads of this one (--threads, -t, -g). Each rank runs run_bench. Exit status: 0; 1 when data is
// wrong or a rank failed; 2 with one line for bad input.
#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <functional>
#include <thread>

#include "bootstrap/launch.hpp"
#include "library/emulated_machine.hpp"
#include "perf/bench.hpp"
#include "tools/tenon/job_name.hpp"
#include "tools/tenon/local_ranks.hpp"

namespace tenon::perf {
namespace {

// Nobody may be there to read it (`2>&1 | head`), which is no error.
int complain(std::string_view line, int status) {
    std::fputs(fmt::format("tenon-perf: {}\n", line).c_str(), stderr);
    return status;
}

// A rank that fails says so in one line. What the library says often names the rank already.
int complain_of(Rank rank, std::string_view why) {
    const std::string who = fmt::format("rank {}: ", rank);
    return complain(why.starts_with(who) ? std::string{why} : who + std::string{why}, 1);
}

template <class Run>
int guarded(Rank rank, const Run& run) {
    try {
        return run();
    } catch (const std::exception& error) {
        return complain_of(rank, error.what());
    }
}

// The others learn of a failure from the library, but not before it is said: their end may be this process's.
int run_or_abort(const Options& options, Communicator control, const RankFacts& facts) {
    const Rank rank = control.rank();
    Team team{std::move(control)};
    try {
        return run_bench(options, team, facts);
    } catch (const std::exception& error) {
        const int status = complain_of(rank, error.what());
        team.abort();
        return status;
    }
}

int be_rank(const Options& options, Rank rank, Rank rank_count, const std::function<tenonUniqueId()>& id) {
    return guarded(rank, [&] {
        const RankFacts facts = settle(rank);
        return run_or_abort(options, Communicator{rank_count, id(), rank}, facts);
    });
}

int be_launched_rank(const Options& options, const Launch& launch) {
    const auto config = read_config();
    if (!config) return complain(config.error().message, 2);
    const auto id = unique_id_for_launch(launch, *config);
    if (!id) return complain(id.error().message, 2);
    return be_rank(options, launch.rank, launch.rank_count, [&] { return std::bit_cast<tenonUniqueId>(*id); });
}

int be_all_ranks_as_threads(const Options& options, Rank rank_count) {
    return guarded(0, [&] {
        std::vector<Communicator> controls = Communicator::create_all(rank_count);
        std::vector<int> statuses(static_cast<std::size_t>(rank_count));
        {
            std::vector<std::jthread> threads;
            for (Rank rank = 0; rank < rank_count; rank++)
                threads.emplace_back(
                    [&, rank, control = std::move(controls[static_cast<std::size_t>(rank)])]() mutable {
                        statuses[static_cast<std::size_t>(rank)] =
                            guarded(rank, [&] { return run_or_abort(options, std::move(control), settle(rank)); });
                    });
        }
        return *std::max_element(statuses.begin(), statuses.end());
    });
}

int start_ranks(const Options& options, Rank rank_count) {
    const std::string job = new_job_name("perf");
    SharedMachine devices;  // live as long as this process
    if (options.device == "emulated") {
        auto made = share_emulated_machine();
        if (!made) return complain(made.error().message, 1);
        devices = std::move(*made);
        ::setenv("TENON_EMULATED_MACHINE", devices.path.c_str(), 1);
    }
    const auto status = run_local_ranks({
        .rank_count = rank_count,
        .rank_main =
            [&](Rank rank) { return be_rank(options, rank, rank_count, [&] { return unique_id_for_job(job); }); },
        .report = [](std::string_view line) { complain(line, 1); },
    });
    return status ? *status : complain(status.error().message, 1);
}

int run(const Options& options) {
    const auto launch = find_launch(process_environment());
    if (!options.rank_count && !launch) return complain(launch.error().message, 2);
    const bool launched = !options.rank_count && *launch;
    const Rank own = options.ranks_of_process.value_or(1);
    if (launched && own > 1)
        return complain(fmt::format("-t and -g: a process of a launcher is one rank, not {0}; leave them out and have "
                                    "it start {0} times as many", own), 2);
    const Rank rank_count =
        launched ? (*launch)->rank_count : options.rank_count.value_or(options.ranks_of_process.value_or(2));
    if (const std::string why = obstacle(options, rank_count); !why.empty()) return complain(why, 2);
    if (launched) return be_launched_rank(options, **launch);
    const bool as_threads = options.threads || options.ranks_of_process;
    return as_threads ? be_all_ranks_as_threads(options, rank_count) : start_ranks(options, rank_count);
}

}  // namespace
}  // namespace tenon::perf

int main(int argc, char** argv) {
    const auto options = tenon::perf::parse_options(argc, argv);
    return options ? tenon::perf::run(*options) : options.error();
}
