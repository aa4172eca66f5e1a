// Whatever frames a peer sends, a Mirror takes them only to where they belong: into the incoming ring or the place that
// the receiver offered, never into the outgoing ring or beyond; and what the rank takes is what came, in order, also
// where it came in another.
#include <algorithm>
#include <cstring>
#include <deque>
#include <map>

#include "os/memory.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/messages.hpp"
#include "transports/mirrors/mirror.hpp"

namespace tenon::fuzz {
namespace {

enum class Way { in_order, placed, striped };

class Victim {
public:
    explicit Victim(Input& input) : input_(input) {
        if (way_ == Way::striped) mirror_->expect_stripes();
    }

    void run() {
        while (!input_.ended() && !failed_) {
            switch (input_.below(6)) {
                case 0: rank_sends(); break;
                case 1: rank_takes(); break;
                case 2: rank_offers(); break;
                case 3: come(some_head()); break;
                case 4: frame_leaves(); break;
                case 5: come_late(); break;
            }
            TENON_ASSERT(mirror_->has_outgoing() || !mirror_->next_outgoing(room_), "both say whether there is more");
        }
        while (rank_takes()) {}
    }

private:
    // ---- the rank
    void rank_sends() {
        const auto bytes = bytes_of(lengths[input_.below(lengths.size())], sent_);
        if (!try_send(mirror_->send_end(), bytes)) return;
        leaving_.push_back(bytes);
        sent_++;
    }

    // Honest lengths only: others are the ranks' disagreement, which signatures tell.
    bool rank_takes() {
        const auto next = came_.find(taken_ + 1);
        if (next == came_.end()) return false;
        const auto bytes = try_take(mirror_->receive_end(), next->second.size(), offered_.data());
        TENON_ASSERT(bytes || has_lied_, "what has come can be taken");
        if (!bytes) return false;
        TENON_ASSERT(*bytes == next->second || has_lied_, "and is what came");
        taken_++;
        return true;
    }

    // Only where nothing lies there that was not taken.
    void rank_offers() {
        ReceiveEnd& in = mirror_->receive_end();
        if (taken_ != allocated_ || !open_.empty()) return;
        offered_.assign(561 + input_.value<std::uint16_t>() % (small_shape.slot_bytes - 560), std::byte{});
        in.offer(in.next_number(), MessageForm::carried, reinterpret_cast<std::uintptr_t>(offered_.data()),
                 offered_.size(), signature);
    }

    void frame_leaves() {
        const auto next = mirror_->next_outgoing(room_);
        if (!next || next->head.kind == FrameKind::credit) return;
        auto expected = leaving_.front();
        leaving_.pop_front();
        const std::size_t length = next->head.length;
        if (next->head.kind == FrameKind::packed) {
            TENON_ASSERT(lines_of(length) == lines_of(expected.size()), "as many lines arrive as are sent");
            told_[0] += lines_of(length);
            while (expected.size() > length) {
                TENON_ASSERT(expected.back() == std::byte{}, "only zeros are left out");
                expected.pop_back();
            }
            expected.resize(length);
        } else {
            told_[next->head.kind == FrameKind::medium ? 1 : 2]++;
        }
        TENON_ASSERT(std::equal(expected.begin(), expected.end(), next->bytes, next->bytes + length),
                     "what arrives harms nothing that leaves");
    }

    // ---- the peer
    struct Frame {
        FrameHead head;
        std::uint64_t place;  // where it was put in the ring
    };

    Frame some_head() {
        const std::uint8_t lies = input_.byte();
        FrameHead head{.kind = static_cast<FrameKind>(1 + input_.below(4)), .signature = signature};
        head.length = static_cast<std::uint32_t>(lengths[input_.below(lengths.size())]);
        if (head.kind == FrameKind::packed)
            head.length = static_cast<std::uint32_t>(frame_grain * (head.length % (packed_bytes / frame_grain + 1)));
        if (head.kind == FrameKind::credit) head.length = 0;
        std::ranges::copy(told_, head.taken);
        if (way_ == Way::striped && head.kind == FrameKind::large) {
            head.kind = FrameKind::striped;
            head.taken[0] = large_++;
        }
        if (head.kind != FrameKind::credit) head.number = static_cast<std::uint32_t>(++allocated_);
        has_lied_ |= (lies & 31) != 0;
        if (lies & 1) head.number = input_.value<std::uint32_t>();
        if (lies & 2) head.length = input_.value<std::uint32_t>();
        if (lies & 4) head.length = input_.value<std::uint16_t>();
        if (lies & 8) head.taken[input_.below(3)] = input_.value<std::uint64_t>();
        if (lies & 16) head.taken[input_.below(3)] += input_.below(4);
        const std::uint64_t place = lies & 32   ? input_.value<std::uint16_t>()
                                    : lies & 64 ? input_.value<std::uint64_t>()
                                                : 0;
        return {head, place};
    }

    void come(const Frame& frame) {
        if (frame.head.kind == FrameKind::striped) return begin_striped(frame.head);
        if (way_ == Way::placed) return come_placed(frame);
        const auto to = mirror_->begin_incoming(frame.head);
        if (!to) return fails(to.error());
        if (frame.head.kind == FrameKind::credit) return;
        if (frame.head.kind == FrameKind::packed)
            TENON_ASSERT(frame.head.length <= packed_bytes, "it fits where it is gathered");
        else expect_right_place(*to, frame.head.length);
        write(*to, frame.head);
        mirror_->end_incoming(frame.head);
    }

    // As where the peer writes into the ring itself.
    void come_placed(const Frame& frame) {
        const auto payloads = mirror_->incoming_payloads();
        if (taken_ != came_.size()) return;  // who places messages over each other harms itself alone
        if (auto taken = mirror_->take_placed(frame.head, frame.place); !taken) return fails(taken.error());
        TENON_ASSERT(frame.head.kind == FrameKind::medium || frame.head.kind == FrameKind::large,
                     "others have no place");
        TENON_ASSERT(frame.place <= payloads.size() && frame.head.length <= payloads.size() - frame.place,
                     "it lies in the ring");
        write(payloads.data() + frame.place, frame.head);
    }

    void begin_striped(const FrameHead& head) {
        const auto stripe = mirror_->begin_striped(head);
        if (!stripe) return fails(stripe.error());
        TENON_ASSERT(stripe->is_put == (stripe->to == offered_.data() && !offered_.empty()), "both say where it goes");
        expect_right_place(stripe->to, head.length);
        for (const auto& [other, at] : open_)
            TENON_ASSERT(has_lied_ || stripe->to + head.length <= at.to || at.to + other.length <= stripe->to,
                         "stripes lie apart");
        open_.emplace_back(head, *stripe);
    }
    // One of those that have begun comes to its end.
    void come_late() {
        if (open_.empty()) return;
        const auto which = open_.begin() + static_cast<std::ptrdiff_t>(input_.below(open_.size()));
        const auto [head, stripe] = *which;
        open_.erase(which);
        write(stripe.to, head);
        mirror_->end_striped(head, stripe);
    }

    void write(std::byte* to, const FrameHead& head) {
        const auto bytes = bytes_of(head.length, head.number);
        std::ranges::copy(bytes, to);
        came_[head.number] = bytes;
        // What is left out of its last line is zeros.
        if (head.kind == FrameKind::packed)
            came_[head.number].resize(lines_of(bytes.size()) * sizeof(PackedLine::data));
    }
    void expect_right_place(const std::byte* to, std::size_t length) const {
        const auto payloads = mirror_->incoming_payloads();
        TENON_ASSERT((to >= payloads.data() && to + length <= payloads.data() + payloads.size()) ||
                         (to == offered_.data() && length == offered_.size()),
                     "bytes come to where they belong");
    }
    void fails(const Error& error) {
        TENON_ASSERT(error.status == Status::remote_error, "it is the peer's fault");
        failed_ = true;
    }

    Input& input_;
    const Way way_ = static_cast<Way>(input_.below(3));
    os::Mapping memory_ = std::move(*os::Mapping::anonymous({2 * small_shape.bytes()}));
    std::unique_ptr<Mirror> mirror_ = std::make_unique<Mirror>(small_shape, 0, memory_.bytes());
    Mirror::PackedRoom room_;
    std::vector<std::byte> offered_;
    std::deque<std::vector<std::byte>> leaving_;                     // what the rank has sent and did not leave yet
    std::map<std::uint64_t, std::vector<std::byte>> came_;           // whole, by number
    std::vector<std::pair<FrameHead, Mirror::Stripe>> open_;         // begun
    std::uint64_t allocated_ = 0, large_ = 0, taken_ = 0, sent_ = 0;
    std::uint64_t told_[3] = {};  // what an honest peer may say it has taken
    bool failed_ = false, has_lied_ = false;
};

}  // namespace
}  // namespace tenon::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    tenon::fuzz::Input input(data, size);
    tenon::fuzz::Victim(input).run();
    return 0;
}
