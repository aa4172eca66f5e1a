// One collective of one size on one rank, ready to be called: buffers, the call itself, and whether its result is
// right.
//
// Out of place and in place take turns on the same two buffers; in place everything happens in the second one. On a
// device, these are copies of the ones that calls use. Used by one thread. Errors are tenon::Exception.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "perf/device_side.hpp"
#include "perf/options.hpp"
#include "perf/shape.hpp"
#include "perf/values.hpp"
#include "tenon/tenon.hpp"

namespace tenon::perf {

class Workload {
public:
    // `on`: the device whose memory and stream calls use; null where they use the host's.
    Workload(const Shape& shape, Operation operation, MemoryKind memory, tenonComm_t comm, DeviceSide* on = nullptr);
    ~Workload();
    Workload(const Workload&) = delete;
    Workload& operator=(const Workload&) = delete;

    // New input values, and no trace of earlier results when `clear_output`.
    void prepare(bool in_place, bool clear_output);
    // The call that is timed: nothing in it but what a user would write.
    void call() const;
    // Waits for the calls so far, where they run on a device.
    void finish() const;
    // Elements of the output that are wrong, of the input that have changed, and of what lies behind the output.
    std::uint64_t count_wrong();

    const Shape& shape() const { return shape_; }
    tenonRedOp_t operation() const { return library_operation_; }

private:
    using Buffer = std::unique_ptr<std::byte, std::function<void(std::byte*)>>;
    static Buffer allocate(MemoryKind memory, std::uint64_t bytes);
    std::byte* at(const Buffer& buffer, std::uint64_t element) const;
    tenonResult_t issue() const;
    tenonResult_t issue_exchange() const;
    void put_on_device();
    void get_from_device();
    std::uint64_t wrong_input() const;
    std::uint64_t bytes_written_behind() const;
    Values values() const { return {shape_.type, operation_, shape_.rank_count, turn_}; }

    const Shape shape_;
    const Operation operation_;
    tenonComm_t comm_;
    tenonDataType_t type_;
    tenonRedOp_t library_operation_ = tenonSum;
    Buffer first_, second_;
    std::uint64_t first_bytes_ = 0, second_bytes_ = 0;
    DeviceSide* on_;
    std::optional<DeviceMemory<std::byte>> first_there_, second_there_;
    tenonStream_t stream_ = nullptr;
    std::byte* input_ = nullptr;
    std::byte* output_ = nullptr;
    const std::byte* call_input_ = nullptr;  // the same for calls
    std::byte* call_output_ = nullptr;
    bool in_place_ = false;
    std::uint64_t turn_ = 0;
};

}  // namespace tenon::perf
