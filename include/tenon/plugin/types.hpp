// The words that every part of Tenon shares: ranks, counts, data types, operations, collectives, errors.
//
// Values here are small, copyable and have no behaviour beyond naming and sizing themselves. Elements and bytes are
// different types, because mixing them up is the mistake that corrupts memory; ranks and chunk indices are plain
// integers, because algorithms are arithmetic on them.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#pragma GCC visibility push(default)  // plugin modules call what is declared here
namespace tenon {

using Rank = std::int32_t;
inline constexpr Rank no_rank = -1;
inline constexpr Rank everyone = -2;  // as a destination: all other ranks of the communicator

using ChunkIndex = std::uint32_t;

struct ByteCount {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(ByteCount, ByteCount) = default;
};

struct ElementCount {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(ElementCount, ElementCount) = default;
};

// The numbers are those of the C API (and of NCCL, where NCCL has the type).
enum class DataType : std::uint8_t {
    int8 = 0, uint8 = 1, int32 = 2, uint32 = 3, int64 = 4, uint64 = 5, float16 = 6, float32 = 7, float64 = 8,
    bfloat16 = 9, float8_e4m3 = 10, float8_e5m2 = 11, int16 = 12, uint16 = 13,
};
inline constexpr std::size_t data_type_count = 14;

// 8- and 16-bit floats, which are summed in float32.
constexpr bool is_narrow_float(DataType type) {
    return type == DataType::float16 || type == DataType::bfloat16 || type == DataType::float8_e4m3 ||
           type == DataType::float8_e5m2;
}

enum class ReduceOp : std::uint8_t { sum = 0, prod = 1, max = 2, min = 3, avg = 4 };
inline constexpr std::size_t reduce_op_count = 5;

enum class Collective : std::uint8_t {
    all_reduce, reduce, broadcast, reduce_scatter, all_gather, all_to_all, gather, scatter, barrier,
    // Known only at run time; no static plan (see src/exchange).
    all_to_all_v, all_gather_v, reduce_scatter_v, send, receive, moe_dispatch, moe_combine,
};
inline constexpr std::size_t planned_collective_count = 9;
inline constexpr std::size_t collective_count = 16;

std::size_t element_bytes(DataType type);
std::string_view name_of(DataType type);
std::string_view name_of(ReduceOp op);
std::string_view name_of(Collective collective);  // "all_reduce", ...
std::optional<DataType> data_type_named(std::string_view name);
std::optional<ReduceOp> reduce_op_named(std::string_view name);
// Accepts Tenon's names, the peers' ("allreduce", "bcast") and nccl-tests' ("all_reduce_perf").
std::optional<Collective> collective_named(std::string_view name);

constexpr bool reduces(Collective c) {
    return c == Collective::all_reduce || c == Collective::reduce || c == Collective::reduce_scatter ||
           c == Collective::reduce_scatter_v;
}
constexpr bool is_rooted(Collective c) {
    return c == Collective::reduce || c == Collective::broadcast || c == Collective::gather || c == Collective::scatter;
}

// What a call returns; the numbers are those of tenonResult_t.
enum class Status : int {
    success = 0, device_error = 1, system_error = 2, internal_error = 3, invalid_argument = 4, invalid_usage = 5,
    remote_error = 6, in_progress = 7, timeout = 8, mismatch = 9, aborted = 10,
};
std::string_view name_of(Status status);

// Who decides the error writes it once: who, which call, what was found, what to do.
struct Error {
    Status status = Status::internal_error;
    std::string message;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Status status, std::string message) {
    return std::unexpected(Error{status, std::move(message)});
}

}  // namespace tenon
#pragma GCC visibility pop
