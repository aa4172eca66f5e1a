#include "transports/mirrors/mirrored.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tenon {
namespace {

constexpr std::uint64_t shared_mapping_bytes = 1 << 20;

std::unexpected<Error> no_access() {
    return fail(Status::internal_error, "the memory of a rank on another host cannot be read or written directly");
}

}  // namespace

Result<std::unique_ptr<Mirror>> MirrorMemory::make(std::uint16_t channel) {
    const RingShape shape = shape_of_(channel);
    const std::uint64_t bytes = 2 * shape.bytes();
    if (!budget_->take(bytes))
        return fail(Status::system_error,
                    fmt::format("rank {}: one more channel to another host, of {} bytes, would exceed the {} bytes of "
                                "slots that a rank may have in a communicator; raise TENON_SLOT_MEMORY_BYTES on every "
                                "rank",
                                own_, bytes, budget_->cap_bytes()));
    const auto memory = memory_of(bytes);
    if (!memory) return std::unexpected(memory.error());
    bytes_ += bytes;
    return std::make_unique<Mirror>(shape, channel, *memory);
}

// Small rings share pages, so that what is counted is what is taken.
Result<std::span<std::byte>> MirrorMemory::memory_of(std::uint64_t bytes) {
    const bool has_pages = bytes % os::page_bytes() == 0;
    if (has_pages || rest_.size() < bytes) {
        auto mapping = os::Mapping::anonymous({has_pages ? bytes : std::max(bytes, shared_mapping_bytes)});
        if (!mapping) return std::unexpected(mapping.error());
        mappings_.push_back(std::move(*mapping));
        if (has_pages) return mappings_.back().bytes();
        rest_ = mappings_.back().bytes();
    }
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
}

void MirroredConnection::want() {
    if (const auto wanted = std::exchange(wanted_, nullptr)) wanted();
}

Result<Mirror*> MirroredConnection::mirror(std::uint16_t channel) {
    if (channel >= max_channels)
        return fail(Status::invalid_usage, fmt::format("channel {} is not in [0, {})", channel, max_channels));
    auto& made = mirrors_[channel];
    if (made == nullptr) {
        auto mirror = memory_.make(channel);
        if (!mirror) return std::unexpected(mirror.error());
        made = std::move(*mirror);
        used_.push_back(made.get());
    }
    return made.get();
}

Result<SendEnd*> MirroredConnection::send_end(std::uint16_t channel) {
    auto found = mirror(channel);
    if (!found) return std::unexpected(found.error());
    want();
    return &(*found)->send_end();
}

Result<ReceiveEnd*> MirroredConnection::receive_end(std::uint16_t channel) {
    auto found = mirror(channel);
    if (!found) return std::unexpected(found.error());
    want();
    return &(*found)->receive_end();
}

std::optional<Exposure> MirroredConnection::expose(const void* bytes, std::size_t) const {
    return Exposure{MessageForm::carried, reinterpret_cast<std::uintptr_t>(bytes)};
}
Result<void> MirroredConnection::read(void*, const Exposure&, std::size_t) { return no_access(); }
Result<void> MirroredConnection::write(const Exposure&, const void*, std::size_t) { return no_access(); }

}  // namespace tenon
