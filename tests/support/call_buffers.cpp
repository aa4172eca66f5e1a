#include "tests/support/call_buffers.hpp"

#include <cstring>

namespace tenon::support {

CallBuffers::CallBuffers(const Reference& reference, Rank rank, bool in_place, Memory memory)
    : reference_(reference), rank_(rank), input_(reference.input(rank)) {
    const Shape& shape = reference.shape();
    const std::size_t size = element_bytes(shape.type);
    output_bytes_ = output_elements(shape, rank) * size;
    const std::size_t offset = in_place_offset(shape, rank) * size;
    if (in_place) {
        large_ = std::make_unique<GuardedBuffer>(std::max(input_.size(), output_bytes_), size, memory);
        send_ = receive_ = large_->data();
        (input_.size() < output_bytes_ ? send_ : receive_) += offset;
    } else {
        large_ = std::make_unique<GuardedBuffer>(input_.size(), size, memory);
        small_ = std::make_unique<GuardedBuffer>(output_bytes_, size, memory);
        send_ = large_->data();
        receive_ = small_->data();
    }
    std::ranges::copy(input_, send_);
    if (in_place) before_.assign(large_->bytes().begin(), large_->bytes().end());
    if (input_.empty() && !in_place) send_ = nullptr;
    if (output_bytes_ == 0) receive_ = nullptr;
}

std::optional<std::string> CallBuffers::problem() const {
    for (const GuardedBuffer* buffer : {large_.get(), small_.get()})
        if (buffer != nullptr)
            if (auto damage = buffer->damage()) return damage;
    if (receive_ != nullptr)
        if (auto wrong = reference_.difference(rank_, {receive_, output_bytes_})) return wrong;
    if (small_ != nullptr)
        return same_bytes(large_->bytes(), input_) ? std::nullopt
                                                   : std::optional<std::string>("the input was written");
    // In place: whatever is not output keeps its value.
    std::vector<std::byte> expected = before_;
    if (receive_ != nullptr) std::memcpy(expected.data() + (receive_ - large_->data()), receive_, output_bytes_);
    return same_bytes(large_->bytes(), expected)
               ? std::nullopt
               : std::optional<std::string>("memory beside the output was written");
}

}  // namespace tenon::support
