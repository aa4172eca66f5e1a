// A call about a stream: the stream is there, and of the calling thread's context.
#pragma once

#include "tests/support/emulated_acl/state.hpp"

namespace tenon::support::acl {

class StreamCall : public Call {
public:
    StreamCall(const char* function, Handle stream, bool wants_context = true);
    // With which the function must end at once, where it is not success.
    Code code() const { return code_; }
    AclStream& stream() const { return *stream_; }
    // What the stream said: a device that fails or a stream that is aborted is nobody's fault.
    Code code_of(const Result<void>& done) const;

private:
    std::shared_ptr<AclStream> stream_;
    Code code_ = abi::success;
};

}  // namespace tenon::support::acl
