// Two ranks joined by TcpConnections of one to three sockets, and somebody on the wires between them who alters,
// inserts, repeats or drops bytes on the way to one of them, as a peer that knows the secret and lies could. What that
// rank had been sent whole before is delivered intact, and what is wrong is an error that is the peer's fault. (Of what
// a peer sends that was lied to about credits nothing can be said.)
#include <deque>
#include <memory>

#include "tests/fuzz/input.hpp"
#include "tests/fuzz/messages.hpp"
#include "transports/tcp/tcp_connection.hpp"

namespace tenon::fuzz {
namespace {

constexpr std::uint16_t channels = 2;
constexpr std::size_t most_sent = 200, most_inserted = 64;

// A socket of a side, as far as the other end of the wire.
struct Wire {
    os::LocalSocket end;
    std::vector<std::byte> on_way;  // to this side

    void deliver() {
        const iovec part{on_way.data(), on_way.size()};
        const auto sent = end.descriptor().valid() ? end.send_some(std::span{&part, 1}) : Result<std::size_t>{0};
        on_way.erase(on_way.begin(), on_way.begin() + static_cast<std::ptrdiff_t>(sent.value_or(0)));
    }
};

// A rank of the pair.
struct Side {
    explicit Side(unsigned sockets) {
        connection.want_sockets(sockets);
        add_wire();
        for (std::uint16_t c = 0; c < channels; c++) {
            out.push_back(*connection.send_end(c));
            in.push_back(*connection.receive_end(c));
        }
    }
    void add_wire() {
        auto ends = os::LocalSocket::pair();
        TENON_ASSERT(ends.has_value(), "a pair of sockets can be made");
        connection.open(static_cast<unsigned>(wires.size()), os::TcpSocket{ends->first.release()});
        wires.push_back({std::move(ends->second), {}});
    }
    unsigned agreed = 1;
    MirrorMemory memory{0, [](std::uint16_t) { return small_shape; }, std::make_shared<SlotBudget>(64 << 20)};
    tcp::TcpConnection connection{memory, 4 << 10, [] {}, [this](unsigned sockets) { agreed = sockets; }};
    std::vector<Wire> wires;
    std::vector<SendEnd*> out;
    std::vector<ReceiveEnd*> in;
    std::deque<std::vector<std::byte>> sent[channels];  // and not yet taken by the other
    std::uint64_t count = 0;
    std::vector<std::byte> offered[channels];
};

class Pair {
public:
    explicit Pair(Input& input) : input_(input) {}

    void run() {
        while (!input_.ended() && !failed_) {
            const std::uint8_t choice = input_.byte();
            Side& side = choice & 1 ? victim_ : peer_;
            Side& other = choice & 1 ? peer_ : victim_;
            const auto channel = static_cast<std::uint16_t>(choice >> 1 & 1);
            switch (choice >> 2 & 7) {
                case 0:
                case 1: sends(side, channel); break;
                case 2: takes(other, side, channel); break;
                case 3: offers(side, other, channel); break;
                case 4: moves(side); break;
                case 5: carry(side, other, input_.below(side.wires.size()), 1 + input_.byte() * 64U); break;
                case 6: carry_all(); break;
                case 7: disturb(); break;
            }
        }
        finish();
    }

private:
    void sends(Side& side, std::uint16_t channel) {
        if (side.count == most_sent) return;
        const auto bytes = bytes_of(lengths[input_.below(lengths.size())], side.count);
        if (!try_send(*side.out[channel], bytes)) return;
        side.sent[channel].push_back(bytes);
        side.count++;
    }

    // True where there was something. Whatever a rank takes that nobody has touched is what was sent.
    bool takes(Side& to, Side& from, std::uint16_t channel) {
        if (from.sent[channel].empty()) return false;
        const auto& expected = from.sent[channel].front();
        const auto got = try_take(*to.in[channel], expected.size(), to.offered[channel].data());
        if (!got) return false;
        TENON_ASSERT(touched_ || *got == expected, "messages arrive as they were sent, in order");
        from.sent[channel].pop_front();
        return true;
    }

    // Only what the sender has not sent yet can go there, and nothing else lies there that has not been taken.
    void offers(Side& side, Side& other, std::uint16_t channel) {
        if (!other.sent[channel].empty()) return;
        ReceiveEnd& in = *side.in[channel];
        side.offered[channel].assign(lengths[5 + input_.below(4)], std::byte{});
        in.offer(in.next_number(), MessageForm::carried, reinterpret_cast<std::uintptr_t>(side.offered[channel].data()),
                 side.offered[channel].size(), signature);
    }

    void moves(Side& side) {
        side.connection.something_came();
        const auto moved = side.connection.progress();
        if (moved) return;
        TENON_ASSERT(touched_, "who is left alone finds no fault");
        TENON_ASSERT(moved.error().status == Status::remote_error, "it is the peer's fault");
        failed_ = true;
    }

    // Some of what waits on a wire goes on to the other side.
    void carry(Side& from, Side& to, std::size_t wire, std::size_t most) {
        if (wire >= to.wires.size()) return;
        std::array<std::byte, 16 << 10> room;
        const auto came = from.wires[wire].end.receive_some(std::span{room}.first(most));
        auto& on_way = to.wires[wire].on_way;
        if (came) on_way.insert(on_way.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(*came));
        to.wires[wire].deliver();
    }

    void carry_all() {
        for (int turn = 0; turn < 4; turn++)
            for (Side* side : {&peer_, &victim_}) {
                moves(*side);
                if (failed_) return;
                for (std::size_t w = 0; w < side->wires.size(); w++)
                    carry(*side, side == &peer_ ? victim_ : peer_, w, 16 << 10);
                while (peer_.agreed > peer_.wires.size() && victim_.agreed > victim_.wires.size()) {
                    peer_.add_wire();
                    victim_.add_wire();
                }
            }
    }

    // Towards the victim. What had gone before goes on unharmed.
    void disturb() {
        if (!touched_) take_what_is_there();
        touched_ = true;
        Wire& wire = victim_.wires[input_.below(victim_.wires.size())];
        auto& bytes = wire.on_way;
        const std::size_t how = input_.below(5), at = bytes.empty() ? 0 : input_.value<std::uint16_t>() % bytes.size();
        const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(at);
        const auto length = static_cast<std::ptrdiff_t>(std::min<std::size_t>(input_.byte(), bytes.size() - at));
        const auto inserted = input_.bytes(how == 0 ? most_inserted : 0);
        const std::vector<std::byte> again(from, from + length);
        switch (how) {
            case 0: bytes.insert(from, inserted.begin(), inserted.end()); break;
            case 1: bytes.erase(from, from + length); break;
            case 2: bytes.insert(from, again.begin(), again.end()); break;
            case 3:
                if (!bytes.empty()) *from ^= static_cast<std::byte>(1 + input_.below(255));
                break;
            case 4: wire.end.close(); break;
        }
    }

    void take_what_is_there() {
        for (Wire& wire : victim_.wires)
            while (!wire.on_way.empty()) {
                wire.deliver();
                moves(victim_);
            }
        moves(victim_);
        for (std::uint16_t c = 0; c < channels; c++)
            while (takes(victim_, peer_, c)) {}
    }

    // Where nobody touched the wire, all that was sent arrives.
    void finish() {
        if (touched_ || failed_) return moves_if_alive();
        for (int turn = 0; turn < 1000 && !all_taken(); turn++) {
            carry_all();
            for (std::uint16_t c = 0; c < channels; c++) {
                while (takes(victim_, peer_, c)) {}
                while (takes(peer_, victim_, c)) {}
            }
        }
        TENON_ASSERT(all_taken(), "all that was sent arrives");
    }
    void moves_if_alive() {
        for (int turn = 0; turn < 4 && !failed_; turn++) moves(victim_);
    }
    bool all_taken() const {
        return std::ranges::all_of(peer_.sent, [](const auto& q) { return q.empty(); }) &&
               std::ranges::all_of(victim_.sent, [](const auto& q) { return q.empty(); });
    }

    Input& input_;
    Side peer_{1 + input_.byte() % 3U}, victim_{1 + input_.byte() % 3U};
    bool touched_ = false, failed_ = false;
};

}  // namespace
}  // namespace tenon::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    tenon::fuzz::Input input(data, size);
    tenon::fuzz::Pair(input).run();
    return 0;
}
