// Who comes to a process's port for data: strangers with any bytes, with another secret or with what they recorded, and
// ranks of the job that claim and say anything after their proof. Strangers never get in and never are the process's
// error; what a rank said arrives as it said it; and what an introduction may not be is an error that names the rank.
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <vector>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "os/process.hpp"
#include "tests/fuzz/input.hpp"
#include "transports/tcp/introductions.hpp"

namespace tenon::tcp {
namespace {

using fuzz::Input;

os::Deadline ample() { return os::Deadline::after_ms(60'000); }

os::Secret fresh_secret() {
    os::Secret secret;
    TENON_ASSERT(os::fill_random(secret.bytes), "there are random numbers");
    return secret;
}

// What the connecting side says in a handshake of another time, with the right secret.
std::vector<std::byte> recording_of(const os::Secret& secret) {
    auto ends = std::move(*os::LocalSocket::pair());
    auto accepting = os::Handshake::accepting(secret, wire_version);
    auto connecting = os::Handshake::connecting(secret, wire_version, to_bytes({0, 1, Purpose::messages}));
    TENON_ASSERT(accepting.advance(ends.first) && connecting.advance(ends.second), "nothing is wrong so far");
    std::vector<std::byte> said(4096);
    said.resize(*ends.first.receive_some(said));
    return said;
}

// The same for all runs; connections of a run are gone when it ends.
struct House {
    os::TcpListener listener = std::move(**os::TcpListener::listen(os::resolve("127.0.0.1", 0)->front()));
    os::Secret secret = fresh_secret();
    std::vector<std::byte> recording = recording_of(secret);
};
House& house() {
    static House* const made = [] {
        set_log_level(LogLevel::off);
        return new House;
    }();
    return *made;
}

os::TcpSocket knock() {
    auto socket = os::TcpSocket::connect(house().listener.address(), ample());
    TENON_ASSERT(socket.has_value(), "whoever comes is heard");
    // So that thousands of runs leave nothing behind in the system.
    const linger none{1, 0};
    setsockopt(socket->descriptor().number(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    return std::move(*socket);
}

void say(os::TcpSocket& socket, std::span<const std::byte> bytes) {
    // Who is dropped need not get all of it out.
    static_cast<void>(socket.send(bytes, ample()));
}

// ---- at the door --------------------------------------------------------------------------------------------------

struct Visitor {
    os::TcpSocket socket = knock();
    std::optional<os::Handshake> handshake{};
    std::optional<Claim> proved{};     // of the job, and what it claims
    std::vector<std::byte> follows{};  // what it says after its proof
    bool is_through = false, has_arrived = false;
};

Visitor visitor_from(Input& input) {
    Visitor visitor;
    switch (input.below(4)) {
        case 0: say(visitor.socket, input.bytes(200)); break;
        case 1: say(visitor.socket, house().recording); break;
        case 2:
            visitor.handshake =
                os::Handshake::connecting(fresh_secret(), wire_version, to_bytes({0, 1, Purpose::messages}));
            break;
        case 3: {
            visitor.proved = Claim{input.byte() % 4 - 1, input.byte() % 3 - 1, static_cast<Purpose>(input.below(4))};
            visitor.handshake = os::Handshake::connecting(house().secret, wire_version, to_bytes(*visitor.proved));
            const auto follows = input.bytes(input.byte());
            visitor.follows.assign(follows.begin(), follows.end());
            break;
        }
    }
    return visitor;
}

// A visitor's part, as far as it comes now.
void go_on(Visitor& visitor) {
    if (!visitor.handshake || visitor.is_through) return;
    const auto done = visitor.handshake->advance(visitor.socket);
    TENON_ASSERT(done || !visitor.proved, "who knows the secret is believed");
    TENON_ASSERT(!done || !*done || visitor.proved, "nobody else is");
    if (!done) visitor.handshake.reset();
    if (!done || !*done) return;
    visitor.is_through = true;
    say(visitor.socket, visitor.follows);
}

void expect_who_was_proved(std::vector<Visitor>& visitors, Rank to, Purpose purpose, DataPort::Arrival arrival) {
    const auto who = std::ranges::find_if(visitors, [&](const Visitor& v) {
        return !v.has_arrived && v.proved && v.proved->from == arrival.from && v.proved->to == to &&
               v.proved->purpose == purpose && v.socket.local_address()->port == arrival.socket.peer_address()->port;
    });
    TENON_ASSERT(who != visitors.end(), "only who has proved itself arrives, with what it claimed");
    who->has_arrived = true;
    while (!who->is_through) go_on(*who);
    std::vector<std::byte> came(who->follows.size());
    TENON_ASSERT(arrival.socket.receive(came, ample()), "what it says is still there");
    TENON_ASSERT(came == who->follows, "and as it said it");
}

void run_visits(Input& input) {
    DataPort port(house().listener, house().secret);
    std::vector<Visitor> visitors;
    while (!input.ended() && visitors.size() < 4) visitors.push_back(visitor_from(input));
    // One of the job comes last, and whatever the others did it gets in.
    visitors.emplace_back();
    visitors.back().proved = Claim{0, 1, Purpose::messages};
    visitors.back().handshake =
        os::Handshake::connecting(house().secret, wire_version, to_bytes(*visitors.back().proved));
    const os::Deadline deadline = ample();
    const auto expected = [](const Visitor& v) {
        return v.proved && v.proved->to >= 0 &&
               (v.proved->purpose == Purpose::messages || v.proved->purpose == Purpose::introductions);
    };
    while (std::ranges::any_of(visitors, [&](const Visitor& v) { return expected(v) && !v.has_arrived; })) {
        for (Visitor& visitor : visitors) go_on(visitor);
        for (const Rank to : {0, 1})
            for (const Purpose purpose : {Purpose::messages, Purpose::introductions}) {
                auto arrival = port.take(to, purpose);
                TENON_ASSERT(arrival.has_value(), "nobody who comes is the process's error");
                if (*arrival) expect_who_was_proved(visitors, to, purpose, std::move(**arrival));
            }
        TENON_ASSERT(!deadline.passed(), "who is of the job gets in");
    }
}

// ---- introductions ------------------------------------------------------------------------------------------------

// What the peer's bytes come to: rank 0 is played by the input, rank 1 is real.
class Acquaintances {
public:
    explicit Acquaintances(Input& input) {
        const auto length = input.byte() % 4 == 0 ? input.value<std::uint32_t>() : input.value<std::uint16_t>() % 300U;
        const auto head = std::as_bytes(std::span{&length, 1});
        said_.assign(head.begin(), head.end());
        const auto follows = input.bytes(2048);
        said_.insert(said_.end(), follows.begin(), follows.end());
        is_too_long_ = length > Introductions::most_bytes;
        if (!is_too_long_ && follows.size() >= length) answer_.emplace(follows.begin(), follows.begin() + length);
        if (answer_) words_ = follows.subspan(length);
        // The peer then leaves, or stays.
        leaves_ = input.byte() % 2 == 0;
    }

    void run() {
        auto port = std::make_shared<DataPort>(house().listener, house().secret);
        const auto address = house().listener.address();
        std::vector<Peer> peers{{address, "host0"}, {address, "host1"}};
        auto made = TcpIntroductions::make(
            std::make_unique<Links>(1, peers, Purpose::introductions, house().secret, port, 2500));
        TENON_ASSERT(made.has_value(), "introductions can be made");
        Introductions& own = **made;
        const std::array<std::byte, 5> name{};
        TENON_ASSERT(own.introduce(0, name), "an introduction waits for its peer");
        os::TcpSocket peer = knock();
        auto handshake =
            os::Handshake::connecting(house().secret, wire_version, to_bytes({0, 1, Purpose::introductions}));
        for (Result<bool> done = false; !*done; done = handshake.advance(peer)) {
            TENON_ASSERT(own.next_answer(), "nothing has been said yet");
            TENON_ASSERT(done.has_value(), "the peer is believed");
        }
        say(peer, said_);
        if (leaves_) peer.close();
        look(own);
    }

private:
    void look(Introductions& own) {
        const os::Deadline deadline = ample();
        // What is incomplete comes to nothing, as long as the peer stays.
        int turns = 0;
        while (!answered_ && !failed_ && (answer_ || is_too_long_ || leaves_ || turns++ < 3)) {
            auto answer = own.next_answer();
            if (!answer) return fails(answer.error(), is_too_long_ || leaves_);
            if (*answer) {
                TENON_ASSERT(answer_ && (*answer)->peer == 0 && (*answer)->bytes == *answer_,
                             "the answer is what was said");
                answered_ = true;
            }
            TENON_ASSERT(!deadline.passed(), "something comes of it");
        }
        if (answered_) look_at_words(own, deadline);
    }

    // At most once each: ready, then farewell, after which nothing counts; knocks whenever it likes.
    void look_at_words(Introductions& own, const os::Deadline& deadline) {
        std::size_t good = 0;
        bool is_ready = false, farewell = false;
        for (; good < words_.size() && !farewell; good++) {
            if (words_[good] == std::byte{1}) farewell = true;
            else if (words_[good] == std::byte{2} && !is_ready) is_ready = true;
            else if (words_[good] != std::byte{3}) break;
        }
        const bool breaks_rules = good < words_.size() && !farewell, leaves_early = leaves_ && !farewell;
        bool told_ready = false;
        for (int turns = 0; turns < 3 || breaks_rules || leaves_early || told_ready != is_ready;) {
            auto ready = own.next_ready();
            if (!ready) return fails(ready.error(), breaks_rules || leaves_early);
            if (*ready) {
                TENON_ASSERT(**ready == 0 && is_ready && !told_ready, "who says that it is ready is, once");
                told_ready = true;
            } else {
                turns++;
            }
            TENON_ASSERT(!deadline.passed(), "something comes of it");
        }
    }

    void fails(const Error& error, bool may) {
        TENON_ASSERT(may, "a peer that keeps to the rules is no error");
        TENON_ASSERT(error.status == Status::remote_error, "it is the peer's fault");
        TENON_ASSERT(error.message.find("rank 0 on host0") != error.message.npos, "who is named");
        failed_ = true;
    }

    std::vector<std::byte> said_;
    std::optional<std::vector<std::byte>> answer_;
    std::span<const std::byte> words_;
    bool is_too_long_ = false, leaves_ = false, answered_ = false, failed_ = false;
};

}  // namespace
}  // namespace tenon::tcp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    tenon::fuzz::Input input(data, size);
    if (input.below(2) == 0) tenon::tcp::run_visits(input);
    else tenon::tcp::Acquaintances(input).run();
    return 0;
}
