#include "perf/workload.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace tenon::perf {
namespace {

constexpr std::size_t guard_bytes = 64;  // behind the output, to see whether a call writes there
constexpr std::byte guard{0xee};
constexpr std::size_t alignment_bytes = 2 << 20;

}  // namespace

Workload::Workload(const Shape& shape, Operation operation, MemoryKind memory, tenonComm_t comm)
    : shape_(shape), operation_(operation), comm_(comm), type_(static_cast<tenonDataType_t>(shape.type)) {
    const std::size_t width = element_bytes(shape.type);
    second_bytes_ = std::max(shape.output_length, shape.length_in_place()) * width + guard_bytes;
    first_ = allocate(memory, shape.input_length * width + guard_bytes);
    second_ = allocate(memory, second_bytes_);
    if (operation != Operation::mulsum) {
        library_operation_ = static_cast<tenonRedOp_t>(operation);
    } else {
        std::uint64_t factor = Values::factor_bits(shape.type, shape.rank);
        check(tenonRedOpCreatePreMulSum(&library_operation_, &factor, type_, tenonScalarHostImmediate, comm));
    }
}

Workload::~Workload() {
    if (operation_ == Operation::mulsum) tenonRedOpDestroy(library_operation_, comm_);
}

Workload::Buffer Workload::allocate(MemoryKind memory, std::uint64_t bytes) {
    if (memory == MemoryKind::tenon) {
        void* pointer = nullptr;
        check(tenonMemAlloc(&pointer, bytes));
        return {static_cast<std::byte*>(pointer), [](std::byte* p) { tenonMemFree(p); }};
    }
    const std::size_t rounded = (bytes + alignment_bytes - 1) / alignment_bytes * alignment_bytes;
    void* pointer = std::aligned_alloc(alignment_bytes, rounded);
    if (pointer == nullptr) throw std::bad_alloc();
    std::memset(pointer, 0, rounded);  // every page is there before the first call
    return {static_cast<std::byte*>(pointer), [](std::byte* p) { std::free(p); }};
}

std::byte* Workload::at(const Buffer& buffer, std::uint64_t element) const {
    return buffer.get() + element * element_bytes(shape_.type);
}

void Workload::prepare(bool in_place, bool clear_output) {
    in_place_ = in_place;
    turn_++;
    input_ = in_place ? at(second_, shape_.input_first_in_place) : first_.get();
    output_ = in_place ? at(second_, shape_.output_first_in_place) : second_.get();
    if (clear_output) std::fill_n(second_.get(), second_bytes_, guard);
    if (shape_.input_length == 0) return;
    if (reduces(shape_.collective))
        values().contribution(input_, shape_.rank, 0, shape_.input_length);
    else
        values().copied(input_, shape_.rank, 0, shape_.input_length);
}

void Workload::call() const { check(issue()); }

tenonResult_t Workload::issue() const {
    const Shape& s = shape_;
    switch (s.collective) {
        case Collective::all_reduce:
            return tenonAllReduce(input_, output_, s.count, type_, library_operation_, comm_, nullptr);
        case Collective::reduce:
            return tenonReduce(input_, output_, s.count, type_, library_operation_, s.root, comm_, nullptr);
        case Collective::broadcast:
            return tenonBroadcast(input_, output_, s.count, type_, s.root, comm_, nullptr);
        case Collective::reduce_scatter:
            return tenonReduceScatter(input_, output_, s.count, type_, library_operation_, comm_, nullptr);
        case Collective::all_gather:
            return tenonAllGather(input_, output_, s.count, type_, comm_, nullptr);
        case Collective::all_to_all:
            return tenonAlltoAll(input_, output_, s.count, type_, comm_, nullptr);
        case Collective::gather:
            return tenonGather(input_, output_, s.count, type_, s.root, comm_, nullptr);
        case Collective::scatter:
            return tenonScatter(input_, output_, s.count, type_, s.root, comm_, nullptr);
        case Collective::barrier:
            return tenonBarrier(comm_, nullptr);
        case Collective::all_to_all_v:
            return tenonAlltoAllv(input_, s.send_counts.data(), s.send_firsts.data(), output_, s.receive_counts.data(),
                                  s.receive_firsts.data(), type_, comm_, nullptr);
        case Collective::all_gather_v:
            return tenonAllGatherv(input_, s.input_length, output_, s.receive_counts.data(), s.receive_firsts.data(),
                                   type_, comm_, nullptr);
        case Collective::reduce_scatter_v:
            return tenonReduceScatterv(input_, output_, s.receive_counts.data(), type_, library_operation_, comm_,
                                       nullptr);
        case Collective::send:
        case Collective::receive:
            return issue_exchange();
        case Collective::moe_dispatch:  // of a routing, see moe.hpp
        case Collective::moe_combine:
            break;
    }
    return tenonInternalError;
}

tenonResult_t Workload::issue_exchange() const {
    if (const tenonResult_t started = tenonGroupStart(); started != tenonSuccess) return started;
    const tenonResult_t sent = tenonSend(input_, shape_.count, type_, shape_.next(), comm_, nullptr);
    const tenonResult_t received = tenonRecv(output_, shape_.count, type_, shape_.previous(), comm_, nullptr);
    const tenonResult_t ended = tenonGroupEnd();
    return sent != tenonSuccess ? sent : received != tenonSuccess ? received : ended;
}

std::uint64_t Workload::wrong_input() const {
    if (in_place_ || shape_.input_length == 0) return 0;
    return reduces(shape_.collective) ? values().wrong_contribution(input_, shape_.rank, 0, shape_.input_length)
                                      : values().wrong_copied(input_, shape_.rank, 0, shape_.input_length);
}

std::uint64_t Workload::bytes_written_behind() const {
    const std::uint64_t length = in_place_ ? shape_.length_in_place() : shape_.output_length;
    const std::byte* behind = at(second_, length);
    return static_cast<std::uint64_t>(
        std::count_if(behind, behind + guard_bytes, [](std::byte b) { return b != guard; }));
}

std::uint64_t Workload::count_wrong() const {
    if (shape_.collective == Collective::barrier) return 0;
    const Values expected = values();
    std::uint64_t wrong = wrong_input() + bytes_written_behind();
    for (const Part& part : shape_.output) {
        const std::byte* found = output_ + part.output_first * element_bytes(shape_.type);
        wrong += part.from == everyone ? expected.wrong_reduction(found, part.input_first, part.count)
                                       : expected.wrong_copied(found, part.from, part.input_first, part.count);
    }
    return wrong;
}

}  // namespace tenon::perf
