// One rank's memory for one call: its input and output between guards, in place or apart; and, after the call, whether
// all of it is as it should be: the output right, the input as it was, nothing written beside them. One thread.
#pragma once

#include <memory>

#include "tests/support/guarded_buffer.hpp"
#include "tests/support/reference.hpp"

namespace tenon::support {

class CallBuffers {
public:
    CallBuffers(const Reference& reference, Rank rank, bool in_place, Memory memory);

    const void* send() const { return send_; }
    void* receive() const { return receive_; }
    std::optional<std::string> problem() const;

private:
    const Reference& reference_;
    Rank rank_;
    std::vector<std::byte> input_;
    std::size_t output_bytes_;
    std::unique_ptr<GuardedBuffer> large_, small_;  // in place, only the first
    std::byte* send_ = nullptr;                      // null where the call ignores it
    std::byte* receive_ = nullptr;
    std::vector<std::byte> before_;  // in place: the whole buffer before the call
};

}  // namespace tenon::support
