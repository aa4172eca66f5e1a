#include "transports/shm/shm.hpp"

#include <fmt/format.h>

#include "os/peer_memory.hpp"
#include "os/shared_arena.hpp"

namespace tenon {
namespace {

class ShmReach final : public Reach {
public:
    explicit ShmReach(ShmPeer peer) : peer_(std::move(peer)) {}

    std::optional<Exposure> expose(const void* bytes, std::size_t length) const override {
        if (const os::SharedArena* arena = os::SharedArena::if_made())
            if (const auto offset = arena->offset_of(bytes, length)) return Exposure{MessageForm::arena, *offset};
        if (!peer_.kernel_copies) return std::nullopt;
        return Exposure{MessageForm::process, reinterpret_cast<std::uintptr_t>(bytes)};
    }

    bool peer_addresses(const Exposure& exposure) const override { return exposure.form == MessageForm::arena; }

    std::byte* address_of(const Exposure& exposure, std::size_t length) override {
        if (exposure.form != MessageForm::arena || !map_arena()) return nullptr;
        if (exposure.address > arena_->size() || length > arena_->size() - exposure.address) return nullptr;
        return arena_->data() + exposure.address;
    }

    Result<void> read(void* to, const Exposure& from, std::size_t length) override {
        if (from.form == MessageForm::process)
            return os::read_peer_memory(peer_.process, from.address, {static_cast<std::byte*>(to), length});
        return fail(Status::system_error,
                    fmt::format("cannot map the memory that process {} shares; is address space limited (ulimit -v)?",
                                peer_.process));
    }

    Result<void> write(const Exposure& to, const void* from, std::size_t length) override {
        return os::write_peer_memory(peer_.process, to.address, {static_cast<const std::byte*>(from), length});
    }

    std::string_view name() const override { return "shm"; }

private:
    bool map_arena() {
        if (arena_ != nullptr) return true;
        if (!peer_.arena.valid()) return false;
        auto mapped = os::SharedArena::of_peer(peer_.arena);
        if (!mapped) return false;
        arena_ = std::move(*mapped);
        return true;
    }

    ShmPeer peer_;
    std::shared_ptr<const os::Mapping> arena_;
};

}  // namespace

std::unique_ptr<Reach> shm_reach(ShmPeer peer) { return std::make_unique<ShmReach>(std::move(peer)); }

bool shm_shares(const void* bytes) {
    const os::SharedArena* arena = os::SharedArena::if_made();
    return arena != nullptr && arena->offset_of(bytes, 1);
}

}  // namespace tenon
