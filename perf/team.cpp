#include "perf/team.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "os/process.hpp"

namespace tenon::perf {
namespace {

std::string processor_model() {
    std::ifstream facts("/proc/cpuinfo");
    for (std::string line; std::getline(facts, line);)
        if (line.starts_with("model name")) return line.substr(std::min(line.find(": ") + 2, line.size()));
    return "processor of unknown model";
}

template <std::size_t N>
void copy_text(char (&to)[N], const std::string& from) {
    std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

}  // namespace

double Team::slowest(double seconds) { return slowest(std::vector{seconds})[0]; }

std::vector<double> Team::slowest(std::vector<double> of) {
    control_.all_reduce(of, tenonMax);
    return of;
}

std::uint64_t Team::total(std::uint64_t own) {
    std::vector<std::uint64_t> sum{own};
    control_.all_reduce(sum, tenonSum);
    return sum[0];
}

std::uint64_t Team::largest(std::uint64_t own) {
    std::vector<std::uint64_t> most{own};
    control_.all_reduce(most, tenonMax);
    return most[0];
}

std::vector<RankFacts> Team::everyone(const RankFacts& own) {
    std::vector<RankFacts> all(static_cast<std::size_t>(rank_count()));
    check(tenonAllGather(&own, all.data(), sizeof own, tenonInt8, control_, nullptr));
    return all;
}

Communicator Team::split(const Settings& settings) {
    tenonConfig_t config = settings.config();
    tenonComm_t part = nullptr;
    check(tenonCommSplit(control_, 0, rank(), &part, &config));
    return Communicator{part};
}

Communicator Team::meet_anew() {
    tenonUniqueId id{};
    if (rank() == 0) id = unique_id();
    control_.broadcast(std::span(id.internal), 0);
    return Communicator{rank_count(), id, rank()};
}

RankFacts settle(Rank rank) {
    RankFacts facts;
    facts.process = static_cast<std::int32_t>(os::process_id());
    if (const auto allowed = os::cores_of_this_thread()) {
        const std::vector<int> cores = os::core_list(*allowed);
        facts.core = cores[static_cast<std::size_t>(rank) % cores.size()];
        os::CoreSet own;
        own.set(static_cast<std::size_t>(facts.core));
        // Where this is not allowed, the figures vary more; they are still right.
        (void)os::run_this_thread_on(own);
    }
    copy_text(facts.host, os::host_name());
    copy_text(facts.processor, processor_model());
    return facts;
}

}  // namespace tenon::perf
