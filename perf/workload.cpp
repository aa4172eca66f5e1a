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

Workload::Workload(const Shape& shape, Operation operation, MemoryKind memory, tenonComm_t comm, DeviceSide* on)
    : shape_(shape), operation_(operation), comm_(comm), type_(static_cast<tenonDataType_t>(shape.type)), on_(on) {
    const std::size_t width = element_bytes(shape.type);
    second_bytes_ = std::max(shape.output_length, shape.length_in_place()) * width + guard_bytes;
    first_bytes_ = shape.input_length * width + guard_bytes;
    first_ = allocate(memory, first_bytes_);
    second_ = allocate(memory, second_bytes_);
    if (on_ != nullptr) {
        first_there_.emplace(on_->device(), first_bytes_);
        second_there_.emplace(on_->device(), second_bytes_);
        stream_ = on_->stream();
    }
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
    if (shape_.input_length != 0) {
        if (reduces(shape_.collective))
            values().contribution(input_, shape_.rank, 0, shape_.input_length);
        else
            values().copied(input_, shape_.rank, 0, shape_.input_length);
    }
    call_input_ = input_;
    call_output_ = output_;
    if (on_ != nullptr) put_on_device();
}

void Workload::put_on_device() {
    on_->put(*first_there_, {first_.get(), first_bytes_});
    on_->put(*second_there_, {second_.get(), second_bytes_});
    const auto there = [&](const std::byte* here) {
        const bool is_in_first = !in_place_ && here == first_.get();
        return is_in_first ? first_there_->data() : second_there_->data() + (here - second_.get());
    };
    call_input_ = there(input_);
    call_output_ = there(output_);
}

void Workload::get_from_device() {
    on_->get({first_.get(), first_bytes_}, *first_there_);
    on_->get({second_.get(), second_bytes_}, *second_there_);
}

void Workload::call() const { check(issue()); }

void Workload::finish() const {
    if (on_ != nullptr) on_->stream().synchronize();
}

tenonResult_t Workload::issue() const {
    const Shape& s = shape_;
    switch (s.collective) {
        case Collective::all_reduce:
            return tenonAllReduce(call_input_, call_output_, s.count, type_, library_operation_, comm_, stream_);
        case Collective::reduce:
            return tenonReduce(call_input_, call_output_, s.count, type_, library_operation_, s.root, comm_, stream_);
        case Collective::broadcast:
            return tenonBroadcast(call_input_, call_output_, s.count, type_, s.root, comm_, stream_);
        case Collective::reduce_scatter:
            return tenonReduceScatter(call_input_, call_output_, s.count, type_, library_operation_, comm_, stream_);
        case Collective::all_gather:
            return tenonAllGather(call_input_, call_output_, s.count, type_, comm_, stream_);
        case Collective::all_to_all:
            return tenonAlltoAll(call_input_, call_output_, s.count, type_, comm_, stream_);
        case Collective::gather:
            return tenonGather(call_input_, call_output_, s.count, type_, s.root, comm_, stream_);
        case Collective::scatter:
            return tenonScatter(call_input_, call_output_, s.count, type_, s.root, comm_, stream_);
        case Collective::barrier:
            return tenonBarrier(comm_, stream_);
        case Collective::all_to_all_v:
            return tenonAlltoAllv(call_input_, s.send_counts.data(), s.send_firsts.data(), call_output_,
                                  s.receive_counts.data(), s.receive_firsts.data(), type_, comm_, stream_);
        case Collective::all_gather_v:
            return tenonAllGatherv(call_input_, s.input_length, call_output_, s.receive_counts.data(),
                                   s.receive_firsts.data(), type_, comm_, stream_);
        case Collective::reduce_scatter_v:
            return tenonReduceScatterv(call_input_, call_output_, s.receive_counts.data(), type_, library_operation_,
                                       comm_, stream_);
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
    const tenonResult_t sent = tenonSend(call_input_, shape_.count, type_, shape_.next(), comm_, stream_);
    const tenonResult_t received = tenonRecv(call_output_, shape_.count, type_, shape_.previous(), comm_, stream_);
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

std::uint64_t Workload::count_wrong() {
    if (shape_.collective == Collective::barrier) return 0;
    if (on_ != nullptr) get_from_device();
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
