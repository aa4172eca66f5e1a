#include "perf/options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <limits>

#include "config/values.hpp"
#include "perf/moe_routing.hpp"
#include "reduction/quantise.hpp"
#include "tenon/tenon.h"

namespace tenon::perf {
namespace {

constexpr std::string_view operation_names[operation_count] = {"sum", "prod", "max", "min", "avg", "mulsum"};

// As the user wrote them; what is wrong with one is said by an exception of CLI11's.
struct Words {
    std::vector<std::string> collectives;
    std::string min_bytes = "8", max_bytes = "64M", step_bytes, step_factor = "2";
    std::string sizes, types, operations = "sum", memory = "ordinary", device, format = "table", colour = "auto";
    std::string root = "0";
    std::optional<Rank> threads, ranks_of_thread;
    std::string models = "v4-pro", routings = "uniform", layout = "expert", path = "flat", against;
};

[[noreturn]] void refuse(std::string_view option, std::string_view value, std::string_view why) {
    throw CLI::ValidationError(std::string(option), fmt::format("'{}': {}", value, why));
}

std::uint64_t size_named(std::string_view option, std::string_view text) {
    const auto size = parse_size(text);
    if (!size || *size == 0 || *size > (std::uint64_t{1} << 48))
        refuse(option, text, "must be a size of at least 1 byte, such as 8, 64K, 1M or 2G");
    return *size;
}

Sizes read_sizes(const Words& words) {
    Sizes sizes;
    if (!words.sizes.empty())
        for (const std::string_view size : split(words.sizes, ',')) sizes.list.push_back(size_named("--sizes", size));
    sizes.min_bytes = size_named("-b", words.min_bytes);
    sizes.max_bytes = size_named("-e", words.max_bytes);
    if (sizes.max_bytes < sizes.min_bytes) refuse("-e", words.max_bytes, "is less than the smallest size, -b");
    if (!words.step_bytes.empty()) sizes.step_bytes = size_named("-i", words.step_bytes);
    const auto factor = parse_number(words.step_factor);
    if (!factor || *factor < 2 || *factor > 1 << 20) refuse("-f", words.step_factor, "must be a number of at least 2");
    sizes.step_factor = *factor;
    return sizes;
}

constexpr Collective all_collectives[] = {
    Collective::all_reduce,   Collective::reduce_scatter, Collective::all_gather,       Collective::all_to_all,
    Collective::broadcast,    Collective::reduce,         Collective::gather,           Collective::scatter,
    Collective::all_to_all_v, Collective::all_gather_v,   Collective::reduce_scatter_v, Collective::send,
    Collective::barrier};

void read_collectives(const Words& words, Options& options) {
    for (const std::string& word : words.collectives) {
        if (word == "init")
            options.init = true;
        else if (word == "ping_pong")
            options.pair_tests.push_back(PairTest::ping_pong);
        else if (word == "stream")
            options.pair_tests.push_back(PairTest::stream);
        else if (word == "registration")
            options.pair_tests.push_back(PairTest::registration);
        else if (word == "links")
            options.links = true;
        else if (word == "moe")
            options.moe.asked = true;
        else if (word == "all")
            options.collectives.insert(options.collectives.end(), std::begin(all_collectives),
                                       std::end(all_collectives));
        else if (word == "sendrecv" || word == "sendrecv_perf" || word == "send_receive")
            options.collectives.push_back(Collective::send);
        else if (const auto known = collective_named(word); known && *known < Collective::receive)
            options.collectives.push_back(*known);
        else
            refuse(
                "collective", word,
                "is none of all, init, links, moe, ping_pong, stream, registration, sendrecv or a collective's name, "
                "such as all_reduce");
    }
}

// The names in a list with commas, or all of them.
template <class T, class Find>
std::vector<T> read_list(std::string_view option, const std::string& text, std::size_t count, const Find& find) {
    std::vector<T> found;
    if (text == "all")
        for (std::size_t i = 0; i < count; i++) found.push_back(static_cast<T>(i));
    else
        for (const std::string_view name : split(text, ',')) {
            const std::optional<T> one = find(name);
            if (!one) refuse(option, name, "is not known; see tenon-perf --help");
            found.push_back(*one);
        }
    return found;
}

std::optional<Operation> operation_named(std::string_view name) {
    const auto at = std::find(std::begin(operation_names), std::end(operation_names), name);
    if (at == std::end(operation_names)) return std::nullopt;
    return static_cast<Operation>(at - std::begin(operation_names));
}

void add_options(CLI::App& app, Words& words, Options& options) {
    app.add_option(
           "collective", words.collectives,
           "What to time, several if you like: all_reduce, reduce_scatter, all_gather, all_to_all, broadcast, "
           "reduce, gather, scatter, all_to_all_v, all_gather_v, reduce_scatter_v, sendrecv, barrier, all; moe: "
           "dispatch and combine; init: the time for the ranks to meet; links: latency and bandwidth of each pair of "
           "ranks; between "
           "rank 0 and the last: ping_pong, stream and registration")
        ->required();
    app.add_option("-b,--minbytes", words.min_bytes, "Smallest size, as nccl-tests counts it")->capture_default_str();
    app.add_option("-e,--maxbytes", words.max_bytes, "Largest size")->capture_default_str();
    auto* factor =
        app.add_option("-f,--stepfactor", words.step_factor, "From size to size: multiply by")->capture_default_str();
    app.add_option("-i,--stepbytes", words.step_bytes, "From size to size: add, in place of -f")->excludes(factor);
    app.add_option("--sizes", words.sizes, "These sizes only, with commas between");
    app.add_option("-d,--datatype", words.types,
                   "Types, with commas between, or all (default: float; int8 for all_to_all_v)");
    app.add_option("-o,--op", words.operations, "Of sum, prod, max, min, avg, mulsum, with commas between, or all")
        ->capture_default_str();
    app.add_option("-r,--root", words.root, "Root of rooted collectives; all, or -1: every rank in turn")
        ->capture_default_str();
    app.add_option("-n,--iters", options.iterations, "Calls in a batch (default: as many as take 30 ms)")
        ->check(CLI::Range(1, 1 << 24));
    app.add_option("-w,--warmup_iters", options.warmup, "Calls before the timing (default: until their time is known)")
        ->check(CLI::Range(0, 1 << 24));
    app.add_option("--batches", options.batches, "Batches to take the median of")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    app.add_option("-c,--check", options.checks, "How often to check the data before the timing; 0: not at all")
        ->check(CLI::Range(0, 1000))
        ->capture_default_str();
    auto* ranks = app.add_option("--ranks", options.rank_count,
                                 "Start so many local ranks (default: what the launcher says, or 2)");
    ranks->check(CLI::Range(1, 4096));
    app.add_flag("--threads", options.threads, "Ranks are threads of one process");
    app.add_option("-t,--nthreads", words.threads, "As in nccl-tests: threads of each process, with -g ranks each")
        ->check(CLI::Range(1, 4096))
        ->excludes(ranks);
    app.add_option("-g,--ngpus", words.ranks_of_thread,
                   "As in nccl-tests: ranks of each thread. Each gets a thread of its own here; a process that a "
                   "launcher started is one rank, so that -t and -g are 1")
        ->check(CLI::Range(1, 4096))
        ->excludes(ranks);
    app.add_option("--memory", words.memory, "ordinary, or tenon: from tenonMemAlloc")->capture_default_str();
    app.add_option("--device", words.device,
                   "buffers in the memory of accelerators, calls on their streams: cuda, ascend, or emulated");
    app.add_option("--algorithm", options.algorithm, "Use this algorithm; all: compare every one that fits");
    app.add_flag("--deterministic", options.deterministic,
                 "The same bits whatever the size, the algorithm and the transport");
    app.add_flag("--traffic", options.traffic,
                 "Below each row of the table: the bytes that a call sends, by level of the topology, and of these "
                 "those that leave hosts");
    app.add_option("--model", words.models, "moe: whose shape, with commas between: " + std::string(moe_model_names()))
        ->capture_default_str();
    app.add_option(
           "--routing", words.routings,
           "moe: who goes where, with commas between: " + std::string(moe_router_names()))
        ->capture_default_str();
    app.add_option("--tokens", options.moe.tokens, "moe: of each rank")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    app.add_option("--hidden", options.moe.hidden, "moe: elements of a row (default: the model's)")
        ->check(CLI::Range(1, 1 << 20));
    app.add_option("--layout", words.layout,
                   "moe: expert, a row for each token and expert, or rank, one for each token")
        ->capture_default_str();
    app.add_option("--path", words.path, "moe: flat, hierarchical (once to each node, and on from there), or auto")
        ->capture_default_str();
    app.add_option("--against", words.against, "moe: all_to_all_v: also the same exchange written over it");
    app.add_option("--svg", options.picture, "links, moe: draw them, or who sends whom how much, into this file, too");
    app.add_option("--color", words.colour,
                   "links: auto (as NO_COLOR and CLICOLOR_FORCE say, or on a terminal), always or never")
        ->capture_default_str();
    app.add_option("--format", words.format, "table, jsonl or csv")->capture_default_str();
}

void read_moe(const Words& words, MoeOptions& moe, const std::vector<DataType>& types) {
    for (const std::string_view name : split(words.models, ',')) {
        if (!moe_model_named(name)) refuse("--model", name, "is none of " + std::string(moe_model_names()));
        moe.models.emplace_back(name);
    }
    for (const std::string_view name : split(words.routings, ',')) {
        if (!moe_router_named(name)) refuse("--routing", name, "is none of " + std::string(moe_router_names()));
        moe.routings.emplace_back(name);
    }
    if (words.layout != "expert" && words.layout != "rank") refuse("--layout", words.layout, "must be expert or rank");
    moe.rank_major = words.layout == "rank";
    if (words.path != "flat" && words.path != "hierarchical" && words.path != "auto")
        refuse("--path", words.path, "must be flat, hierarchical or auto");
    moe.path = words.path;
    if (!words.against.empty() && words.against != "all_to_all_v")
        refuse("--against", words.against, "must be all_to_all_v");
    moe.against_all_to_all_v = !words.against.empty();
    if (moe.against_all_to_all_v && moe.rank_major)
        refuse("--against", words.against, "has a row for each token and expert; use --layout expert");
    moe.types = types.empty() ? std::vector{DataType::bfloat16} : types;
    constexpr DataType possible[] = {DataType::bfloat16, DataType::float16, DataType::float32, DataType::float8_e4m3,
                                     DataType::int8};
    for (const DataType type : moe.types)
        if (moe.asked && std::ranges::find(possible, type) == std::end(possible))
            refuse("-d", name_of(type), "is no type of moe; it has bfloat16, float16, float32, float8_e4m3 and int8");
    const auto is_code = [](DataType type) { return is_quantised(type); };
    if (moe.against_all_to_all_v && std::ranges::any_of(moe.types, is_code))
        refuse("--against", words.against, "has no quantised rows; use -d bfloat16");
}

Rank read_root(const std::string& word) {
    if (word == "all" || word == "-1") return -1;
    const auto root = parse_number(word);
    if (!root || *root > std::numeric_limits<Rank>::max())
        refuse("-r", word, "must be a rank, or all (or -1) for every rank in turn");
    return static_cast<Rank>(*root);
}

// Ranks of a process, as nccl-tests counts them. Unless a launcher says what there is, they are all.
void read_ranks(const Words& words, Options& options) {
    if (words.threads || words.ranks_of_thread) {
        options.ranks_of_process = words.threads.value_or(1) * words.ranks_of_thread.value_or(1);
        if (*options.ranks_of_process > 4096)
            refuse("-t, -g", std::to_string(*options.ranks_of_process), "are more than 4096 ranks");
    }
    if (options.threads && !options.rank_count) options.rank_count = options.ranks_of_process.value_or(2);
}

void read_device(const Words& words, Options& options) {
    if (words.device.empty()) return;
    if (words.memory != "ordinary")
        refuse("--memory", words.memory, "is of the host's memory; leave it out with --device");
    if (options.moe.asked || options.links || options.init || !options.pair_tests.empty())
        refuse("--device", words.device,
               "is for collectives; moe, links, init and the tests of pairs use the host's memory");
    options.memory = MemoryKind::device;
    options.device = words.device;
}

void understand(const Words& words, Options& options) {
    read_collectives(words, options);
    options.sizes = read_sizes(words);
    if (!words.types.empty()) options.types = read_list<DataType>("-d", words.types, data_type_count, data_type_named);
    options.operations = read_list<Operation>("-o", words.operations, operation_count, operation_named);
    read_moe(words, options.moe, options.types);
    if (words.memory == "tenon")
        options.memory = MemoryKind::tenon;
    else if (words.memory != "ordinary")
        refuse("--memory", words.memory, "must be ordinary or tenon");
    if (words.format == "jsonl")
        options.format = Format::jsonl;
    else if (words.format == "csv")
        options.format = Format::csv;
    else if (words.format != "table")
        refuse("--format", words.format, "must be table, jsonl or csv");
    if (words.colour != "auto" && words.colour != "always" && words.colour != "never")
        refuse("--color", words.colour, "must be auto, always or never");
    options.in_colour = is_in_colour(words.colour, process_environment(), ::isatty(STDOUT_FILENO) == 1);
    options.root = read_root(words.root);
    if (!options.picture.empty() && !options.links && !options.moe.asked)
        refuse("--svg", options.picture, "draws links, or moe's traffic; ask for one of them");
    if (!options.picture.empty() && options.links && options.moe.asked)
        refuse("--svg", options.picture, "draws links, or moe's traffic; ask for one of them at a time");
    read_ranks(words, options);
    read_device(words, options);
}

}  // namespace

std::string_view name_of(Operation operation) { return operation_names[static_cast<std::size_t>(operation)]; }

std::vector<std::uint64_t> Sizes::expanded() const {
    if (!list.empty()) return list;
    std::vector<std::uint64_t> sizes;
    for (std::uint64_t size = min_bytes; size <= max_bytes;
         size = step_bytes > 0 ? size + step_bytes : size * step_factor)
        sizes.push_back(size);
    return sizes;
}

bool is_in_colour(std::string_view asked, const Environment& environment, bool is_terminal) {
    const auto value = [&](std::string_view name) {
        const auto at = environment.find(name);
        return at != environment.end() ? at->second : std::string{};
    };
    if (asked != "auto") return asked == "always";
    if (!value("NO_COLOR").empty()) return false;
    if (const std::string forced = value("CLICOLOR_FORCE"); !forced.empty()) return forced != "0";
    return is_terminal;
}

std::vector<DataType> types_of(const Options& options, Collective collective) {
    if (collective == Collective::barrier) return {DataType::int8};
    if (!options.types.empty()) return options.types;
    return {collective == Collective::all_to_all_v ? DataType::int8 : DataType::float32};
}

std::vector<Operation> operations_of(const Options& options, Collective collective) {
    return reduces(collective) ? options.operations : std::vector{Operation::sum};
}

std::expected<Options, int> parse_options(int argc, char** argv) {
    Options options;
    Words words;
    CLI::App app{
        "Times and checks the collectives of Tenon. Options and table are those of nccl-tests, and some more."};
    app.name("tenon-perf");
    app.set_version_flag("--version", fmt::format("tenon-perf {}.{}.{}", TENON_MAJOR, TENON_MINOR, TENON_PATCH));
    add_options(app, words, options);
    try {
        app.parse(argc, argv);
        understand(words, options);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == 0) return std::unexpected(app.exit(error));
        fmt::print(stderr, "tenon-perf: {} (see tenon-perf --help)\n", error.what());
        return std::unexpected(2);
    }
    return options;
}

}  // namespace tenon::perf
