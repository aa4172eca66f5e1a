// What comes over one edge of the tree of hosts to a Relay, whatever it is: what keeps to the rules is believed and
// told on, word for word; from the first thing that does not, nothing is, and the host that said it is the job's error.
#include <cstring>
#include <thread>

#include "base/assert.hpp"
#include "base/log.hpp"
#include "communicator/relay.hpp"
#include "tests/fuzz/input.hpp"

namespace tenon {
namespace {

using fuzz::Input;

constexpr Rank rank_count = 4;  // rank 0 on host 0 is real; 1 and 2 are on host 1, which talks; 3 is on host 2
constexpr std::size_t most_payload_bytes = 2048;

// As relay.cpp has them.
enum Kind : std::uint32_t { failure = 1, left = 2, calls = 3, goodbye = 4, knock = 5 };
struct Head {
    std::uint32_t kind, payload_bytes;
    Rank rank;
    std::uint32_t status;
};
struct Frame {
    Head head;
    std::vector<std::byte> payload;
};

Frame some_frame(Input& input) {
    Frame frame{{static_cast<std::uint32_t>(1 + input.below(5)), 0, static_cast<Rank>(1 + input.below(3)), 0}, {}};
    if (frame.head.kind == failure) frame.head.status = static_cast<std::uint32_t>(1 + input.below(10));
    if (frame.head.kind == calls) {
        JobControl::Calls made{};
        for (JobControl::Entry& entry : made) entry = {input.byte(), input.byte(), 1};
        const auto bytes = std::as_bytes(std::span{made});
        frame.payload.assign(bytes.begin(), bytes.end());
    } else if (frame.head.kind != left) {
        const auto bytes = input.bytes(input.byte());
        frame.payload.assign(bytes.begin(), bytes.end());
    }
    const std::uint8_t lies = input.byte();
    frame.head.payload_bytes = static_cast<std::uint32_t>(frame.payload.size());
    if (lies & 8) frame.head.kind = input.byte();
    if (lies & 16) frame.head.rank = input.value<Rank>();
    if (lies & 32) frame.head.status = input.value<std::uint32_t>();
    if (lies & 64) frame.head.payload_bytes = input.value<std::uint32_t>();
    if ((lies & 128) && !frame.payload.empty())
        frame.payload[input.byte() % frame.payload.size()] = std::byte{input.byte()};
    return frame;
}

// By itself; of a frame that has come whole.
bool keeps_to_rules(const Head& head, std::span<const std::byte> payload) {
    if (head.kind == goodbye || head.kind == knock) return true;
    if (head.kind == failure) return head.status >= 1 && head.status <= 10;
    if (head.rank < 1 || head.rank >= rank_count) return false;
    if (head.kind == left) return true;
    JobControl::Calls made;
    if (head.kind != calls || payload.size() != sizeof made) return false;
    std::memcpy(&made, payload.data(), sizeof made);
    return std::ranges::all_of(made, JobControl::is_sound);
}

class Host {
public:
    Host() {
        set_log_level(LogLevel::off);
        auto memory = os::Mapping::anonymous({JobControl::bytes(rank_count)});
        job_.segment = std::make_shared<os::Mapping>(std::move(*memory));
        job_.places = {{.host = 0}, {.host = 1}, {.host = 1}, {.host = 2}};
        job_.processes.assign(rank_count, os::process_id());
        job_.hosts = {"own", "talking", "listening"};
        control_ = std::make_unique<JobControl>(job_.segment->data(), 0, rank_count);
        control_->join();
        std::vector<HostLink> links;
        for (auto [end, host] : {std::pair{&talking_, 1}, std::pair{&listening_, 2}}) {
            auto ends = std::move(*os::LocalSocket::pair());
            *end = std::move(ends.second);
            links.push_back({os::TcpSocket{ends.first.release()}, host});
        }
        relay_ = std::move(*Relay::start(job_, 0, std::move(links)));
    }
    ~Host() {
        control_->leave();
        relay_->stop();
        while (!relay_->finished()) std::this_thread::yield();
    }

    void hears(std::span<const std::byte> bytes) {
        expect_of(bytes);
        static_cast<void>(talking_.send(bytes, os::Deadline::after_ms(60'000)));
        // Twice: the Relay's own thread may have taken it in the middle of the first.
        for (int turn = 0; turn < 2; turn++) relay_->tell_now();
        check();
    }

private:
    // What follows from these bytes, by the rules.
    void expect_of(std::span<const std::byte> bytes) {
        while (bytes.size() >= sizeof(Head)) {
            Head head;
            std::memcpy(&head, bytes.data(), sizeof head);
            const bool comes_whole = bytes.size() - sizeof head >= head.payload_bytes;
            if (head.payload_bytes > most_payload_bytes) return void(broken_ = true);
            if (!comes_whole) return;
            const auto payload = bytes.subspan(sizeof head, head.payload_bytes);
            if (!keeps_to_rules(head, payload)) return void(broken_ = true);
            if (head.kind == goodbye) said_goodbye_ = true;
            else if (head.kind != knock)
                told_on_.insert(told_on_.end(), bytes.begin(),
                                bytes.begin() + static_cast<std::ptrdiff_t>(sizeof head + payload.size()));
            if (head.kind == left) left_[head.rank] = true;
            if (head.kind == failure && !first_failure_)
                first_failure_ = std::string(reinterpret_cast<const char*>(payload.data()), payload.size());
            bytes = bytes.subspan(sizeof head + payload.size());
        }
    }

    void check() {
        for (Rank r = 1; r < rank_count; r++) TENON_ASSERT(control_->has_left(r) == left_[r], "who has left is known");
        const bool is_missed = broken_ && !said_goodbye_ && !(left_[1] && left_[2]) && !first_failure_;
        TENON_ASSERT(control_->failed() == (is_missed || first_failure_.has_value()),
                     "only faults are the job's error");
        if (first_failure_) {
            const std::string told = control_->failure().message;
            TENON_ASSERT(told == std::string(first_failure_->c_str()).substr(0, told.size()),
                         "the error is as it was told");
        } else if (is_missed) {
            const Error error = control_->failure();
            TENON_ASSERT(error.status == Status::remote_error, "it is the other's fault");
            TENON_ASSERT(error.message.find("rank 1 (process") != error.message.npos &&
                             error.message.find("breaks the protocol") != error.message.npos,
                         "who broke what is named");
        }
        std::vector<std::byte> heard(told_on_.size());
        TENON_ASSERT(listening_.receive(heard, os::Deadline::after_ms(60'000)), "what was told is told on");
        TENON_ASSERT(heard == told_on_, "word for word");
        std::vector<std::byte> more(1 << 16);
        const std::size_t further = listening_.receive_some(more).value_or(0);
        TENON_ASSERT(is_missed || further == 0, "and nothing that breaks the rules");
    }

    Job job_;
    std::unique_ptr<JobControl> control_;
    std::shared_ptr<Relay> relay_;
    os::LocalSocket talking_, listening_;
    std::vector<std::byte> told_on_;
    bool left_[rank_count] = {};
    bool broken_ = false, said_goodbye_ = false;
    std::optional<std::string> first_failure_;
};

}  // namespace
}  // namespace tenon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    tenon::fuzz::Input input(data, size);
    std::vector<std::byte> bytes;
    while (!input.ended() && bytes.size() < 16'384) {
        const auto frame = tenon::some_frame(input);
        const auto head = std::as_bytes(std::span{&frame.head, 1});
        bytes.insert(bytes.end(), head.begin(), head.end());
        bytes.insert(bytes.end(), frame.payload.begin(), frame.payload.end());
    }
    tenon::Host().hears(bytes);
    return 0;
}
