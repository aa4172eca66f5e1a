#include "perf/moe.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <set>

#include "perf/moe_routing.hpp"
#include "perf/report.hpp"
#include "perf/stopwatch.hpp"
#include "tenon/moe.hpp"

namespace tenon::perf {
namespace {

// Multiples of a quarter up to 64: exact in all three types, as are their sums.
std::uint32_t bits_of(DataType type, float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if (type == DataType::float32) return bits;
    if (type == DataType::bfloat16) return bits >> 16;
    if (value == 0) return 0;
    return (bits >> 16 & 0x8000) | (((bits >> 23 & 255) - 112) << 10) | (bits >> 13 & 0x3ff);
}

float token_value(std::uint64_t rank, std::uint64_t token, std::uint64_t element, std::uint64_t turn) {
    return static_cast<float>((rank * 5 + token * 3 + element + turn * 2) % 7);
}
float weight_of(std::uint64_t token, std::uint64_t slot) { return 0.25F * static_cast<float>(1 + (token + slot) % 4); }

class Buffer {
public:
    Buffer(MemoryKind memory, std::uint64_t bytes) : bytes_(bytes) {
        if (memory == MemoryKind::tenon) shared_.emplace(bytes);
        else ordinary_.resize(bytes);
    }
    std::byte* data() { return shared_ ? shared_->data() : ordinary_.data(); }
    std::uint64_t bytes() const { return bytes_; }

private:
    std::uint64_t bytes_;
    std::optional<Memory<std::byte>> shared_;
    std::vector<std::byte> ordinary_;
};

// One row's group, handle and buffers.
class Exchange {
public:
    Exchange(const MoeModel& model, const MoeRouter& router, const MoeOptions& options, DataType type,
             MemoryKind memory, Communicator& comm)
        : model_(model), type_(type), size_(element_bytes(type)), tokens_(options.tokens), rank_(comm.rank()),
          rank_count_(comm.rank_count()), rank_major_(options.rank_major), group_(comm, settings(model, options, type)),
          indices_(route(router, model, tokens_, rank_)), handle_(prepared()), counts_(handle_.counts()),
          in_(memory, tokens_ * model.hidden * size_), rows_(memory, counts_.rows * model.hidden * size_),
          out_(memory, tokens_ * model.hidden * size_), ranks_(counts_.rows), sources_(counts_.rows) {
        check(tenonMoeGetRows(handle_, ranks_.data(), sources_.data(), nullptr, nullptr, nullptr));
    }

    // Rows of tokens that a dispatch brings to this rank, from itself too, each once; and from others alone.
    std::uint64_t received_bytes(bool from_others_alone) const {
        std::uint64_t tokens = 0;
        for (std::size_t r = 0; r < counts_.received_tokens.size(); r++)
            if (!from_others_alone || r != static_cast<std::size_t>(rank_)) tokens += counts_.received_tokens[r];
        return tokens * model_.hidden * size_;
    }
    std::uint64_t rows() const { return counts_.rows; }
    std::uint64_t rows_to_other_nodes() const { return counts_.rows_to_other_nodes; }

    void fill_tokens() {
        turn_++;
        fill(in_, tokens_, [&](std::uint64_t t, std::uint64_t e) {
            return token_value(static_cast<std::uint64_t>(rank_), t, e, turn_);
        });
    }
    // As if it had been dispatched.
    void fill_rows() {
        turn_++;
        fill(rows_, counts_.rows, [&](std::uint64_t i, std::uint64_t e) { return source_value(i, e); });
    }
    void clear_rows() { std::memset(rows_.data(), 0xa5, rows_.bytes()); }
    void clear_result() { std::memset(out_.data(), 0xa5, out_.bytes()); }
    void dispatch() { check(tenonMoeDispatch(handle_, in_.data(), rows_.data(), counts_.rows, nullptr)); }
    void combine() { check(tenonMoeCombine(handle_, rows_.data(), out_.data(), rank_major_ ? 0 : 1, nullptr)); }

    std::uint64_t wrong_rows() {
        return count_wrong(rows_, counts_.rows, [&](std::uint64_t i, std::uint64_t e) { return source_value(i, e); });
    }
    std::uint64_t wrong_results() {
        return count_wrong(out_, tokens_, [&](std::uint64_t t, std::uint64_t e) {
            return sum_of_weights(t) * token_value(static_cast<std::uint64_t>(rank_), t, e, turn_);
        });
    }

private:
    static MoeSettings settings(const MoeModel& model, const MoeOptions& options, DataType type) {
        return {.experts = static_cast<int>(model.experts), .top_k = static_cast<int>(model.top_k),
                .hidden = model.hidden, .max_tokens = options.tokens,
                .dispatch_type = static_cast<tenonDataType_t>(type), .combine_type = static_cast<tenonDataType_t>(type),
                .layout = options.rank_major ? tenonMoeRankMajor : tenonMoeExpertMajor,
                .path = options.hierarchical ? tenonMoeHierarchical : tenonMoeFlat};
    }
    MoeHandle prepared() {
        std::vector<float> weights(indices_.size());
        for (std::size_t i = 0; i < weights.size(); i++) weights[i] = weight_of(i / model_.top_k, i % model_.top_k);
        return group_.prepare(indices_, weights);
    }
    // What each of a token's rows counts, in all; rank-major, one for each rank that has one of its experts.
    float sum_of_weights(std::uint64_t token) const {
        float sum = 0;
        std::set<std::uint64_t> ranks;
        for (std::uint64_t s = 0; s < model_.top_k; s++) {
            const auto expert = static_cast<std::uint64_t>(indices_[token * model_.top_k + s]);
            ranks.insert(((expert + 1) * static_cast<std::uint64_t>(rank_count_) - 1) / model_.experts);
            sum += weight_of(token, s);
        }
        return rank_major_ ? static_cast<float>(ranks.size()) : sum;
    }
    float source_value(std::uint64_t row, std::uint64_t element) const {
        return token_value(static_cast<std::uint64_t>(ranks_[row]), static_cast<std::uint64_t>(sources_[row]), element,
                           turn_);
    }
    template <class Value>
    void fill(Buffer& buffer, std::uint64_t rows, const Value& value) const {
        std::byte* at = buffer.data();
        for (std::uint64_t r = 0; r < rows; r++)
            for (std::uint64_t e = 0; e < model_.hidden; e++, at += size_) {
                const std::uint32_t bits = bits_of(type_, value(r, e));
                std::memcpy(at, &bits, size_);
            }
    }
    template <class Value>
    std::uint64_t count_wrong(Buffer& buffer, std::uint64_t rows, const Value& value) const {
        std::uint64_t wrong = 0;
        const std::byte* at = buffer.data();
        for (std::uint64_t r = 0; r < rows; r++)
            for (std::uint64_t e = 0; e < model_.hidden; e++, at += size_) {
                const std::uint32_t bits = bits_of(type_, value(r, e));
                wrong += std::memcmp(at, &bits, size_) != 0 ? 1 : 0;
            }
        return wrong;
    }

    MoeModel model_;
    DataType type_;
    std::uint64_t size_, tokens_;
    int rank_, rank_count_;
    bool rank_major_;
    MoeGroup group_;
    std::vector<std::int64_t> indices_;
    MoeHandle handle_;
    MoeCounts counts_;
    Buffer in_, rows_, out_;
    std::vector<int> ranks_;
    std::vector<std::int64_t> sources_;
    std::uint64_t turn_ = 0;
};

struct DispatchCalls {
    static constexpr bool checks_last_call = true;
    Exchange& exchange;
    void prepare(bool checked) {
        exchange.fill_tokens();
        if (checked) exchange.clear_rows();
    }
    void call() { exchange.dispatch(); }
    std::uint64_t count_wrong() { return exchange.wrong_rows(); }
};

struct CombineCalls {
    static constexpr bool checks_last_call = true;
    Exchange& exchange;
    void prepare(bool checked) {
        exchange.fill_rows();
        if (checked) exchange.clear_result();
    }
    void call() { exchange.combine(); }
    std::uint64_t count_wrong() { return exchange.wrong_results(); }
};

struct MoeRow {
    std::string model, routing, layout, path, call;
    DataType type{};
    std::uint64_t hidden = 0, tokens = 0;
    Rank ranks = 1;
    MemoryKind memory{};
    std::string transport;
    std::uint64_t received_bytes = 0, from_others_bytes = 0;  // of the rank that receives most
    std::uint64_t crossing_rows = 0;  // that a dispatch sends from node to node, of all ranks
    double imbalance = 1;  // of its rows to the mean
    bool is_checked = true;
    Figures figures;
};

std::string_view layout_of(const Options& options) { return options.moe.rank_major ? "rank" : "expert"; }
std::string_view path_of(const Options& options) { return options.moe.hierarchical ? "hierarchical" : "flat"; }
std::string_view name_of(MemoryKind memory) { return memory == MemoryKind::tenon ? "tenon" : "ordinary"; }

void print_head(const Options& options) {
    if (options.format == Format::csv)
        fmt::print(
            "model,routing,layout,path,call,type,hidden,tokens,ranks,memory,transport,time_us,p50_us,p95_us,p99_us,GBs,"
                   "others_GBs,crossing_rows,imbalance,wrong\n");
    if (options.format == Format::table)
        fmt::print(
            "# moe: layout {}, path {}, {} memory\n"
            "# GB/s: bytes of token rows that the busiest rank receives in a dispatch, its own included, each "
            "once, per second of the call (as DeepEP counts); others: without its own\n"
            "# {:>8} {:>10} {:>9} {:>9} {:>6} {:>6} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>9} {:>9} {:>6}  {}\n",
            layout_of(options), path_of(options), name_of(options.memory), "model", "routing", "call", "type", "hidden",
            "tokens", "time (us)", "p50", "p95", "p99", "GB/s", "others", "crossing", "imbalance", "wrong",
            "transport");
}

void print_row(const Options& options, const MoeRow& row) {
    const double gbs = algorithm_bandwidth_GBs(row.received_bytes, row.figures.median_us);
    const double others = algorithm_bandwidth_GBs(row.from_others_bytes, row.figures.median_us);
    const Figures& f = row.figures;
    const std::string_view memory = name_of(row.memory);
    const std::string wrong = row.is_checked ? fmt::to_string(f.wrong) : "N/A";
    switch (options.format) {
        case Format::table:
            fmt::print(
                "{:>10} {:>10} {:>9} {:>9} {:>6} {:>6} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.1f} {:>8.2f} {:>8.2f} "
                "{:>9} {:>9.2f} {:>6}  {}\n",
                row.model, row.routing, row.call, name_of(row.type), row.hidden, row.tokens, f.median_us, f.p50_us,
                f.p95_us, f.p99_us, gbs, others, row.crossing_rows,
                row.imbalance, wrong, row.transport);
            break;
        case Format::jsonl:
            fmt::print(R"({{"peer":"tenon","version":"{}","collective":"moe_{}","model":"{}","routing":"{}",)"
                       R"("layout":"{}","path":"{}","type":"{}","hidden":{},"tokens":{},"ranks":{},"memory":"{}",)"
                       R"("transport":"{}","time_us":{:.3f},)"
                       R"("p50_us":{:.3f},"p95_us":{:.3f},"p99_us":{:.3f},"GBs":{:.4f},"others_GBs":{:.4f},)"
                       R"("crossing_rows":{},"imbalance":{:.4f},"wrong":{}}})"
                       "\n",
                       library_version(), row.call, row.model, row.routing, row.layout, row.path, name_of(row.type),
                       row.hidden, row.tokens, row.ranks, memory, row.transport, f.median_us, f.p50_us, f.p95_us,
                       f.p99_us, gbs, others, row.crossing_rows, row.imbalance, row.is_checked ? wrong : "null");
            break;
        case Format::csv:
            fmt::print("{},{},{},{},{},{},{},{},{},{},{},{:.3f},{:.3f},{:.3f},{:.3f},{:.4f},{:.4f},{},{:.4f},{}\n",
                       row.model, row.routing, row.layout, row.path, row.call, name_of(row.type), row.hidden,
                       row.tokens, row.ranks, memory, row.transport, f.median_us, f.p50_us, f.p95_us, f.p99_us, gbs,
                       others, row.crossing_rows, row.imbalance, wrong);
            break;
    }
    std::fflush(stdout);
}

}  // namespace

std::uint64_t run_moe(const Options& options, Team& team) {
    Communicator comm = team.split({});
    std::uint64_t wrong = 0;
    if (team.rank() == 0) print_head(options);
    for (const std::string& model_name : options.moe.models)
        for (const std::string& router_name : options.moe.routings)
            for (const DataType type : options.moe.types) {
                MoeModel model = *moe_model_named(model_name);
                if (options.moe.hidden != 0) model.hidden = options.moe.hidden;
                Exchange exchange(model, *moe_router_named(router_name), options.moe, type, options.memory, comm);
                MoeRow row{.model = model_name,
                           .routing = router_name,
                           .layout = std::string(layout_of(options)),
                           .path = std::string(path_of(options)),
                           .call = "dispatch",
                           .type = type,
                           .hidden = model.hidden,
                           .tokens = options.moe.tokens,
                           .ranks = team.rank_count(),
                           .memory = options.memory,
                           .transport = comm.transport((team.rank() + 1) % team.rank_count()),
                           .is_checked = options.checks > 0,
                           .figures = {}};
                row.received_bytes = team.largest(exchange.received_bytes(false));
                row.from_others_bytes = team.largest(exchange.received_bytes(true));
                row.crossing_rows = team.total(exchange.rows_to_other_nodes());
                const std::uint64_t all_rows = team.total(exchange.rows());
                if (all_rows != 0)
                    row.imbalance = static_cast<double>(team.largest(exchange.rows())) * team.rank_count() /
                                    static_cast<double>(all_rows);
                DispatchCalls dispatches{exchange};
                row.figures = Stopwatch{dispatches, options, team}.run();
                wrong += row.figures.wrong;
                if (team.rank() == 0) print_row(options, row);
                CombineCalls combines{exchange};
                row.call = "combine";
                row.figures = Stopwatch{combines, options, team}.run();
                wrong += row.figures.wrong;
                if (team.rank() == 0) print_row(options, row);
            }
    return wrong;
}

}  // namespace tenon::perf
