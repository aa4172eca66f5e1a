// What is shown of the measurements: the table of nccl-tests and some columns more, or a line for each figure in JSON
// or CSV. One report for each format behind one interface; rank 0 alone has one. Writes to standard output.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "perf/options.hpp"
#include "perf/team.hpp"
#include "perf/timing.hpp"

namespace tenon::perf {

// What all ranks together send in a call, at one level of the topology (tenonTraffic_t).
struct SentBytes {
    std::string level;
    std::uint64_t bytes = 0, leaving_host = 0;
};

struct Row {
    std::string collective;
    DataType type{};
    std::string operation = "none";  // of collectives that do not reduce
    Rank root = -1;                  // of collectives without one
    Rank ranks = 1;
    std::uint64_t bytes = 0, count = 0;
    double bus_factor = 1;
    MemoryKind memory{};
    bool checked = false;
    std::string algorithm{}, transport{};
    std::uint64_t slot_memory_bytes = 0;  // the largest of the ranks'
    bool has_bandwidth = true;            // its bytes are moved
    std::vector<SentBytes> sent{};        // from the innermost level; empty: not known
    Figures out_of_place{};
    std::optional<Figures> in_place{};
};

class Report {
public:
    virtual ~Report() = default;
    virtual void begin(const std::string& collective) = 0;
    virtual void add(const Row& row) = 0;
    virtual void end(const std::string& collective) = 0;
};

std::unique_ptr<Report> make_report(const Options& options, std::span<const RankFacts> ranks);
std::unique_ptr<Report> make_table(const Options& options, std::span<const RankFacts> ranks);

// "server 1024; cluster 512", of all ranks and one call.
std::string in_words(const std::vector<SentBytes>& sent);
std::uint64_t leaving_host(const std::vector<SentBytes>& sent);

std::string library_version();
double algorithm_bandwidth_GBs(std::uint64_t bytes, double time_us);

// Says on a terminal what is being measured, on a line that the next output replaces. Silent where nobody watches.
class Progress {
public:
    Progress();
    void show(const std::string& what);
    void clear();

private:
    bool watched_;
};

}  // namespace tenon::perf
