// What the user asked tenon-perf for: the command line, checked and expanded.
//
// Values only. parse_options is the one place that knows the names of options; what it returns needs no more checking.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/environment.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon::perf {

// The operations of the library, and the sum of contributions that each rank has multiplied by a factor of its own.
enum class Operation { sum, prod, max, min, avg, mulsum };
inline constexpr std::size_t operation_count = 6;
std::string_view name_of(Operation operation);

enum class MemoryKind { ordinary, tenon, device };
enum class Format { table, jsonl, csv };

// Between two ranks; see pair_tests.hpp.
enum class PairTest { ping_pong, stream, registration };
inline constexpr std::size_t pair_test_count = 3;

struct Sizes {
    std::uint64_t min_bytes = 8;
    std::uint64_t max_bytes = 64 << 20;
    std::uint64_t step_bytes = 0;  // added from size to size; 0: multiplied by step_factor instead
    std::uint64_t step_factor = 2;
    std::vector<std::uint64_t> list;  // when given, it alone
    std::vector<std::uint64_t> expanded() const;
};

// Of `moe`; each model with each routing and type.
struct MoeOptions {
    bool asked = false;
    std::vector<std::string> models, routings;  // known names
    std::vector<DataType> types;
    std::uint64_t tokens = 4096;  // of each rank
    std::uint64_t hidden = 0;     // instead of the model's; 0: the model's
    bool rank_major = false;
    std::string path = "flat";    // or hierarchical, or auto
    bool against_all_to_all_v = false;  // also the same exchange over all-to-all-v
};

struct Options {
    MoeOptions moe;
    std::vector<Collective> collectives;
    std::vector<PairTest> pair_tests;
    bool init = false;   // also time how long the ranks take to meet
    bool links = false;  // also measure each pair of ranks
    std::string picture;  // of the links or of moe's traffic, as SVG: the file
    bool in_colour = false;
    Sizes sizes;
    std::vector<DataType> types;  // empty: the usual one of each collective
    std::vector<Operation> operations{Operation::sum};
    Rank root = 0;                  // -1: every rank in turn
    std::optional<int> iterations;  // per batch; otherwise as many as take 30 ms
    std::optional<int> warmup;      // calls; otherwise until the time of a call is known
    int batches = 7;
    int checks = 1;  // of the data, before the timing; 0: none at all
    std::optional<Rank> rank_count;
    std::optional<Rank> ranks_of_process;  // as nccl-tests counts them: threads, unless a launcher started this process
    bool threads = false;
    MemoryKind memory = MemoryKind::ordinary;
    std::string device;     // the kind, where memory is device
    std::string algorithm;  // empty: Tenon chooses; "all": every one in turn
    bool traffic = false;  // the table also has what a call sends
    bool deterministic = false;
    Format format = Format::table;
};

// The types and operations of one collective's rows.
std::vector<DataType> types_of(const Options& options, Collective collective);
std::vector<Operation> operations_of(const Options& options, Collective collective);

// Whether what is shown has colours: "always", "never", or "auto", and then what NO_COLOR and CLICOLOR_FORCE say
// (no-color.org, bixense.com/clicolors), or whether somebody watches.
bool is_in_colour(std::string_view asked, const Environment& environment, bool is_terminal);

// What to do, or the exit status with which everything has been said (help, version, bad input).
std::expected<Options, int> parse_options(int argc, char** argv);

}  // namespace tenon::perf
