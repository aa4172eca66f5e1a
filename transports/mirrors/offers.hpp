// Where a rank's messages may be put by a peer's network, told beforehand: what of it travels, what both sides keep.
//
// An offer is for one message of a channel, with its number, signature and length, and so holds for that one only; who
// knows of none when it sends, sends as ever. A Key is what a network needs to write into the memory behind it.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "transports/mirrors/mirror.hpp"

namespace tenon {

// As it travels.
template <class Key>
struct WireOffer {
    std::uint64_t address = 0;
    Key key{};
    std::uint32_t length = 0;
    std::uint32_t number = 0;  // the message's
    std::uint32_t signature = 0;
    std::uint32_t unused = 0;
    static_assert(std::is_trivially_copyable_v<Key> && std::has_unique_object_representations_v<Key>);
};

// What the peer offers for the messages of a channel. What it says is looked at before it is believed.
template <class Key>
class PeerOffers {
public:
    using Offer = WireOffer<Key>;
    // A note's whole bytes. One for a message that has been sent already comes too late. `is_right(offer)` is the
    // network's own look at each that does not, in the same words as this: empty, or what is wrong with it.
    template <class IsRight>
    Result<void> take(std::span<const std::byte> note, const Mirror& mirror, const IsRight& is_right) {
        if (note.empty() || note.size() % sizeof(Offer) != 0) return refused("offers of which one is a part");
        offers_.resize(mirror.offer_count());
        for (; !note.empty(); note = note.subspan(sizeof(Offer))) {
            Offer offer;
            std::memcpy(&offer, note.data(), sizeof offer);
            const auto ahead = static_cast<std::int32_t>(offer.number - mirror.forwarded());
            if (ahead > static_cast<std::int32_t>(offers_.size())) return refused("an offer too far ahead");
            if (ahead <= 0) continue;
            if (const std::string_view wrong = is_right(offer); !wrong.empty()) return refused(wrong);
            offers_[offer.number & (offers_.size() - 1)] = offer;
        }
        return {};
    }
    // For this message; null where there is none.
    const Offer* find(const FrameHead& frame) const {
        if (offers_.empty()) return nullptr;
        const Offer& offer = offers_[frame.number & (offers_.size() - 1)];
        const bool fits =
            offer.number == frame.number && offer.signature == frame.signature && offer.length == frame.length;
        return fits ? &offer : nullptr;
    }

private:
    static std::unexpected<Error> refused(std::string_view what) {
        return fail(Status::remote_error, "it sent what breaks the protocol: " + std::string{what});
    }
    std::vector<Offer> offers_;  // by the message's number, as many as the ring has slots; empty before the first
};

// What this rank has offered to a peer for the messages of a channel: the memory behind it, which stays registered
// until its message has come, whether or not it was put there.
template <class Memory>
class ToldOffers {
public:
    struct Told {
        std::uint32_t number = 0, signature = 0, length = 0;
        Memory memory{};
    };
    // The next offers of the mirror, as many as fit into `note`: how many bytes of it are used. `memory_of(offered)` is
    // null where the network cannot write there, which is not told, and key_of(memory) what the peer needs for it.
    template <class MemoryOf, class KeyOf>
    std::size_t fill(std::span<std::byte> note, Mirror& mirror, const MemoryOf& memory_of, const KeyOf& key_of) {
        std::size_t length = 0;
        using Key = decltype(key_of(std::declval<const Memory&>()));
        while (length + sizeof(WireOffer<Key>) <= note.size()) {
            const auto offered = mirror.next_offer();
            if (!offered) break;
            Memory memory = memory_of(*offered);
            if (memory == nullptr) continue;
            const WireOffer<Key> offer{.address = reinterpret_cast<std::uintptr_t>(offered->address),
                                       .key = key_of(memory), .length = offered->length, .number = offered->number,
                                       .signature = offered->signature};
            std::memcpy(note.data() + length, &offer, sizeof offer);
            length += sizeof offer;
            told_.resize(mirror.offer_count());
            told_[offer.number & (told_.size() - 1)] = {offer.number, offer.signature, offer.length, std::move(memory)};
        }
        return length;
    }
    // What was told of a message that has not come, by the lower half of its number; null where nothing was.
    const Told* find(std::uint16_t number) const {
        if (told_.empty()) return nullptr;
        const Told& told = told_[number & (told_.size() - 1)];
        return told.memory != nullptr && static_cast<std::uint16_t>(told.number) == number ? &told : nullptr;
    }
    // The message has come.
    void over(std::uint32_t number) {
        if (!told_.empty()) told_[number & (told_.size() - 1)] = {};
    }

private:
    std::vector<Told> told_;  // by the message's number, as many as the ring has slots; empty before the first
};

}  // namespace tenon
