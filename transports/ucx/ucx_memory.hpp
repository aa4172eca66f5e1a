// Memory that peers put messages into: what UCX has registered of this rank's, by which names a peer knows it, and the
// keys that peers have told.
//
// A key is told to a peer once, under a name: a place among few, and which key it is that stands there. Who tells it
// decides which one gives way to it, so both sides keep as few, and nothing has to be told of what is kept no longer.
// An offer whose key is not there (any more) is no offer: its message goes as ever.
//
// For the rank's thread, but for MappedMemory, which any thread may destroy.
#pragma once

#include <memory>
#include <vector>

#include "transports/mirrors/registrations.hpp"
#include "transports/ucx/ucx_worker.hpp"
#include "transports/ucx/wire.hpp"

namespace tenon::ucx {

struct MappedMemory {
    struct Unmap {
        Context context;
        void operator()(ucp_mem_h memory) const;
    };
    std::unique_ptr<std::remove_pointer_t<ucp_mem_h>, Unmap> mapped;
    std::vector<std::byte> key;  // as UCX packs it
};
// An error where UCX cannot register it, or its key is too long to be told.
Result<MappedMemory> map_memory(const Context& context, std::span<std::byte> range);

using Registrations = tenon::Registrations<MappedMemory>;
using InUse = Registrations::InUse;

// Of one rank's memory, as a peer knows it.
class ToldKeys {
public:
    struct Named {
        KeyName name;
        bool is_new = false;  // the peer does not know it yet
    };
    Named name_of(const InUse& memory);

private:
    struct Told {
        std::weak_ptr<const Registrations::Entry> memory{};
        std::uint32_t generation = 0;
        std::uint64_t last_used = 0;
    };
    std::vector<Told> told_{};  // most_keys, or none before the first
    std::uint32_t generation_ = 0;
    std::uint64_t uses_ = 0;

public:
    static constexpr std::uint64_t most_bytes = most_keys * sizeof(Told);
};

// Of a peer's memory. What the peer says is looked at before UCX is given it. It must be empty when the worker ends.
class PeerKeys {
public:
    using Key = std::shared_ptr<std::remove_pointer_t<ucp_rkey_h>>;
    // A note's bytes: a WireKey and what UCX has packed.
    Result<void> take(std::span<const std::byte> note, ucp_ep_h endpoint);
    // What is wrong with an offer, if anything; empty also where its key is not there.
    std::string_view wrong_with(const Offer& offer) const;
    // Null where it is not there.
    Key find(const Offer& offer) const;
    void clear() { known_.clear(); }

private:
    struct Known {
        WireKey head{};
        Key key{};
        bool covers(const Offer& offer) const {
            return offer.address >= head.first && offer.length <= head.bytes &&
                   offer.address - head.first <= head.bytes - offer.length;
        }
    };
    std::vector<Known> known_{};  // most_keys, or none before the first

public:
    static constexpr std::uint64_t most_bytes = most_keys * sizeof(Known);
};

}  // namespace tenon::ucx
