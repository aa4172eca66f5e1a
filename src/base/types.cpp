#include "tenon/plugin/types.hpp"

#include <algorithm>
#include <array>

namespace tenon {
namespace {

struct TypeRow {
    std::string_view name;
    std::size_t bytes;
};
constexpr std::array<TypeRow, data_type_count> types{{{"int8", 1},
                                                       {"uint8", 1},
                                                       {"int32", 4},
                                                       {"uint32", 4},
                                                       {"int64", 8},
                                                       {"uint64", 8},
                                                       {"float16", 2},
                                                       {"float32", 4},
                                                       {"float64", 8},
                                                       {"bfloat16", 2},
                                                       {"float8_e4m3", 1},
                                                       {"float8_e5m2", 1},
                                                       {"int16", 2},
                                                       {"uint16", 2}}};
constexpr std::array<std::string_view, reduce_op_count> ops{"sum", "prod", "max", "min", "avg"};
constexpr std::array<std::string_view, collective_count> collectives{
    "all_reduce", "reduce",  "broadcast",    "reduce_scatter", "all_gather",       "all_to_all", "gather",
    "scatter",    "barrier", "all_to_all_v", "all_gather_v",   "reduce_scatter_v", "send",       "receive",
    "moe_dispatch", "moe_combine"};
constexpr std::array<std::string_view, 11> statuses{
    "success",     "device error", "system error", "internal error", "invalid argument", "invalid usage",
    "remote error", "in progress", "timeout",      "mismatch",       "aborted"};

// Other tools' short names (nccl-tests, MPI, PyTorch) of the same types.
constexpr std::pair<std::string_view, DataType> type_aliases[] = {
    {"float", DataType::float32}, {"double", DataType::float64},     {"half", DataType::float16},
    {"f32", DataType::float32},   {"f64", DataType::float64},        {"f16", DataType::float16},
    {"bf16", DataType::bfloat16}, {"f8e4m3", DataType::float8_e4m3}, {"f8e5m2", DataType::float8_e5m2},
    {"fp32", DataType::float32},  {"fp16", DataType::float16},       {"fp64", DataType::float64},
    {"bfp16", DataType::bfloat16}};

template <class Enum, std::size_t N>
std::optional<Enum> find(const std::array<std::string_view, N>& names, std::string_view name) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) return std::nullopt;
    return static_cast<Enum>(at - names.begin());
}

}  // namespace

std::size_t element_bytes(DataType type) { return types[static_cast<std::size_t>(type)].bytes; }
std::string_view name_of(DataType type) { return types[static_cast<std::size_t>(type)].name; }
std::string_view name_of(ReduceOp op) { return ops[static_cast<std::size_t>(op)]; }
std::string_view name_of(Collective collective) { return collectives[static_cast<std::size_t>(collective)]; }
std::string_view name_of(Status status) { return statuses[static_cast<std::size_t>(status)]; }

std::optional<DataType> data_type_named(std::string_view name) {
    for (std::size_t i = 0; i < types.size(); i++)
        if (types[i].name == name) return static_cast<DataType>(i);
    for (const auto& [alias, type] : type_aliases)
        if (alias == name) return type;
    return std::nullopt;
}

std::optional<ReduceOp> reduce_op_named(std::string_view name) { return find<ReduceOp>(ops, name); }

std::optional<Collective> collective_named(std::string_view name) {
    std::string plain{name};
    if (plain.ends_with("_perf")) plain.resize(plain.size() - 5);
    std::erase(plain, '_');
    if (plain == "bcast") plain = "broadcast";
    if (plain == "recv") plain = "receive";
    for (std::size_t i = 0; i < collectives.size(); i++) {
        std::string own{collectives[i]};
        std::erase(own, '_');
        if (own == plain) return static_cast<Collective>(i);
    }
    return std::nullopt;
}

}  // namespace tenon
