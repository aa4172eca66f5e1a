// One rank of a job that any launcher started: launched_rank [JOB | @FOLDER | forked]. Sums with all others and checks
// the result, twice, each time in a communicator of its own; then says so in one line. With JOB, the program names the
// job; with FOLDER, rank 0 makes a unique id and hands it to rank R through the pipe FOLDER/R; otherwise what the
// launcher says brings the ranks together; `forked`, a child of what the launcher started is the rank. Exit status: 1
// where a call failed or a sum is wrong, 2 where no launcher says who this is.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "bootstrap/launch.hpp"
#include "os/process.hpp"
#include "tenon/tenon.hpp"

namespace {

using namespace tenon;

tenonUniqueId handed_id(const Launch& launch, const std::string& folder) {
    const auto pipe_of = [&](Rank rank) { return fmt::format("{}/{}", folder, rank); };
    if (launch.rank != 0) {
        tenonUniqueId id{};
        std::ifstream{pipe_of(launch.rank)}.read(id.internal, sizeof id.internal);
        return id;
    }
    const tenonUniqueId id = unique_id();
    for (Rank rank = 1; rank < launch.rank_count; rank++)
        std::ofstream{pipe_of(rank)}.write(id.internal, sizeof id.internal);
    return id;
}

tenonUniqueId id_of(const Launch& launch, const std::string& how) {
    if (how.starts_with('@')) return handed_id(launch, how.substr(1));
    if (!how.empty()) return unique_id_for_job(how);
    const auto config = read_config();
    if (!config) throw std::runtime_error(config.error().message);
    const auto id = unique_id_for_launch(launch, *config);
    if (!id) throw std::runtime_error(id.error().message);
    return std::bit_cast<tenonUniqueId>(*id);
}

void sum_and_check(Communicator& ranks) {
    constexpr std::size_t count = 10'000;
    const double own = ranks.rank() + 1, all = ranks.rank_count() * (ranks.rank_count() + 1) / 2.0;
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; i++) values[i] = own * static_cast<double>(i);
    ranks.all_reduce(values);
    for (std::size_t i = 0; i < count; i++)
        if (const double wanted = all * static_cast<double>(i); values[i] != wanted)
            throw std::runtime_error(fmt::format("element {} is {} and not {}", i, values[i], wanted));
}

}  // namespace

int main(int argc, char** argv) {
    const auto launch = find_launch(process_environment());
    if (!launch || !*launch) {
        fmt::print(stderr, "{}\n", launch ? "no launcher says which rank this is" : launch.error().message);
        return 2;
    }
    const Launch& own = **launch;
    const std::string how = argc > 1 ? argv[1] : "";
    if (how == "forked")
        if (const pid_t child = fork(); child != 0) {
            int status = 1;
            waitpid(child, &status, 0);
            return status == 0 ? 0 : 1;
        }
    try {
        for (int meeting = 0; meeting < 2; meeting++) {
            Communicator ranks(own.rank_count, id_of(own, how == "forked" ? "" : how), own.rank);
            sum_and_check(ranks);
        }
    } catch (const std::exception& error) {
        fmt::print(stderr, "rank {}: {}\n", own.rank, error.what());
        return 1;
    }
    fmt::print("rank {} of {} on {} is right\n", own.rank, own.rank_count, os::host_name());
    return 0;
}
