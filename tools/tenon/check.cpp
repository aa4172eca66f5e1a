// `tenon check`: does a job of these ranks work here, and if not, why? Each rank of a launcher runs it (`tenon run
// --hosts a:2,b:2 -- tenon check`); without a launcher it looks at this machine alone.
//
// The ranks meet, compare what they find, and send each other data: every pair, more than fits a packet. One line for
// each finding on standard output, from rank 0, or from the ranks that see an error themselves: none that fails ends
// without a word, unless its launcher ends it. Exit status: 0 when all is right, 1 when something was found, 2 with one
// line on standard error for a wrong variable or option.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "bootstrap/checks.hpp"
#include "bootstrap/launch.hpp"
#include "communicator/communicator.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"
#include "tools/tenon/command.hpp"
#include "tools/tenon/job_name.hpp"

namespace tenon {
namespace {

// Of one pair of ranks: more than any packet, and in all no more than a few dozen megabytes.
constexpr std::uint64_t most_block_bytes = 256 << 10, least_block_bytes = 16 << 10, most_bytes = 64 << 20;

// Launchers end all ranks when the first has failed, so that few say the same; where they do not, all ranks say it.
constexpr int until_others_have_spoken_ms = 2'000;

void say(std::string_view line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
}

// Errors of a meeting are the same on all of its ranks: one on each host says it at once, and who has one of its own.
// "rank 3 (process 7) says ..." is of a disagreement, which all hear.
bool speaks_of_errors(const Environment& environment, Rank rank, const std::string& message) {
    constexpr std::array<std::string_view, 4> names{"LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID",
                                                    "SLURM_LOCALID"};
    const std::string own = fmt::format("rank {} ", rank), process = fmt::format("(process {}): ", os::process_id());
    const bool is_own = message.starts_with(own) && !message.starts_with(own + "(");
    if (rank == 0 || is_own || message.starts_with(own + process)) return true;
    for (const std::string_view name : names)
        if (const auto at = environment.find(name); at != environment.end()) return at->second == "0";
    return true;
}

// What rank `from` sends `to` at one place of its block.
std::uint32_t word(Rank from, Rank to, std::size_t at) {
    return (static_cast<std::uint32_t>(from) * 65'537U + static_cast<std::uint32_t>(to)) * 2'654'435'761U +
           static_cast<std::uint32_t>(at);
}

Result<void> wrong_data(Rank own, Rank from) {
    return fail(
        Status::internal_error,
        fmt::format("rank {} got wrong data from rank {}: look for a faulty network card or memory", own, from));
}

// Every pair of ranks: their connection is made, and carries packets of full size both ways.
Result<void> exchange_data(Communicator& ranks) {
    const auto count = static_cast<std::uint64_t>(ranks.rank_count());
    const std::uint64_t block = std::clamp(most_bytes / count, least_block_bytes, most_block_bytes) / 4;
    std::vector<std::uint32_t> out(count * block), in(count * block);
    for (std::size_t i = 0; i < out.size(); i++) out[i] = word(ranks.rank(), static_cast<Rank>(i / block), i % block);
    const Call call{.collective = Collective::all_to_all, .type = DataType::uint32, .send = out.data(),
                    .receive = in.data(), .count = block};
    if (auto ran = ranks.run(call); !ran) return ran;
    for (std::size_t i = 0; i < in.size(); i++)
        if (const auto from = static_cast<Rank>(i / block); in[i] != word(from, ranks.rank(), i % block))
            return wrong_data(ranks.rank(), from);
    // A rank's own part may be done while another pair's packets still vanish: nobody speaks before all are done.
    return ranks.run({.collective = Collective::barrier});
}

std::string job_in_words(const Communicator& ranks) {
    const std::size_t hosts = ranks.meeting()->hosts.size();
    return fmt::format("{} {} on {} {}", ranks.rank_count(), ranks.rank_count() == 1 ? "rank" : "ranks", hosts,
                       hosts == 1 ? "host" : "hosts");
}

// All ranks know the same, and so have one exit status; rank 0 says it, before any ends.
Result<int> judge(Communicator& ranks, const std::vector<std::string>& found) {
    if (ranks.rank() == 0) {
        const std::string job = job_in_words(ranks), network = ranks.network_in_words();
        if (!network.empty())
            for (const std::string& line : bootstrap::networks_in_words(*ranks.meeting()))
                say(fmt::format("{}, by {}", line, network));
        for (const std::string& line : found) say("found: " + line);
        if (!found.empty()) say("see what was found; apart from that it works: " + job);
        else if (ranks.rank_count() == 1)
            say("all right with this rank alone; to check a job: tenon run -n 4 -- tenon check");
        else say(fmt::format("all right: {} have met and exchanged data", job));
    }
    if (auto said = ranks.run({.collective = Collective::barrier}); !said) return std::unexpected(said.error());
    return found.empty() ? 0 : 1;
}

Result<int> check_as_rank(const Launch& launch, const Config& config) {
    const auto id = unique_id_for_launch(launch, config);
    if (!id) return std::unexpected(id.error());
    auto ranks = Communicator::join(*id, launch.rank, launch.rank_count, config);
    if (!ranks) return std::unexpected(ranks.error());
    if (auto exchanged = exchange_data(**ranks); !exchanged) return std::unexpected(exchanged.error());
    std::vector<std::string> found = bootstrap::findings(*(*ranks)->meeting());
    // Of a job that needs it, the ranks have heard when they met.
    if (const std::string obstacle = network_obstacle(config); !obstacle.empty() && launch.rank_count == 1)
        found.push_back(obstacle);
    if (const std::string why = refused_networks(config); !why.empty() && launch.rank_count == 1)
        found.push_back(bootstrap::refused_network_in_words("on this host", why));
    return judge(**ranks, found);
}

int check() {
    const auto config = read_config();
    if (!config) return bad_input(config.error().message);
    // What would be warned of is found.
    set_log_level(config->log_level == LogLevel::warning ? LogLevel::error : config->log_level);
    const Environment environment = process_environment();
    const auto launched = find_launch(environment);
    if (!launched) return bad_input(launched.error().message);
    const Launch launch = launched->value_or(Launch{.job = new_job_name("check")});
    const auto status = check_as_rank(launch, *config);
    if (status) return *status;
    // Who is still there after the pause was not ended for another's error, and perhaps nobody has said it.
    if (!speaks_of_errors(environment, launch.rank, status.error().message)) os::sleep_ms(until_others_have_spoken_ms);
    say(fmt::format("wrong: {}: {}", name_of(status.error().status), status.error().message));
    return 1;
}

}  // namespace

void add_check_command(CLI::App& program, Action& action) {
    CLI::App* command = program.add_subcommand(
        "check", "Say whether a job works here, and what is wrong or odd: tenon run -n 4 -- tenon check");
    command->callback([&action] { action = [] { return check(); }; });
}

}  // namespace tenon
