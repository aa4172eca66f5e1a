// Ranks on different hosts whose network is UCX, over sockets of this host, all in this thread; and one of two that is
// played by hand.
#pragma once

#include <cstdlib>

#include "tests/unit/network_cases.hpp"
#include "transports/ucx/ucx_network.hpp"

namespace tenon::ucx {

// `rendezvous_from`: from how many bytes on UCX lets the receiver fetch a large message.
inline NetworkKind kind(const char* name, const char* rendezvous_from, UcxPuts puts = UcxPuts::automatic) {
    return {name, [rendezvous_from, puts](NetworkFacts facts, const LinksFor& links_for) {
                setenv("UCX_RNDV_THRESH", rendezvous_from, 1);
                facts.introductions = introductions(links_for);
                facts.ucx.puts = puts;
                return UcxNetwork::make(std::move(facts));
            }};
}

// Ranks 0 and 1 have heard of each other.
inline void expect_acquainted(NetworkHosts& hosts) {
    for (const Rank from : {0, 1}) {
        ASSERT_TRUE(try_send(hosts.send_end(from, 1 - from), bytes_of(8, 0)));
        const auto moved =
            hosts.move_until([&] { return try_receive(hosts.receive_end(1 - from, from), 8).has_value(); });
        ASSERT_TRUE(moved) << moved.error().message;
    }
}

// Rank 0, played by hand, to a rank 1 that is real.
class Impostor : public ::testing::Test {
protected:
    explicit Impostor(UcxPuts puts = UcxPuts::automatic) : puts_(puts) {}
    void SetUp() override {
        auto worker = UcxWorker::make([](auto...) { return UCS_OK; }, nullptr, {}, puts_);
        ASSERT_TRUE(worker);
        worker_ = std::move(*worker);
        hosts_.receive_end(1, 0);
        ASSERT_TRUE(introductions_->introduce(1, to_bytes(Introduction{.token = 5}, worker_->address())));
        Result<std::optional<Introductions::Answer>> answer{};
        ASSERT_TRUE(move_until([&] { return !(answer = introductions_->next_answer()) || *answer; }));
        ASSERT_TRUE(answer);
        const auto read = read_introduction((*answer)->bytes);
        ASSERT_TRUE(read);
        head_.token = read->head.token;
        ucp_ep_params_t wanted{};
        wanted.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE;
        wanted.address = reinterpret_cast<const ucp_address_t*>(read->address.data());
        wanted.err_mode = UCP_ERR_HANDLING_MODE_PEER;
        ASSERT_EQ(ucp_ep_create(worker_->handle(), &wanted, &endpoint_), UCS_OK);
    }
    void TearDown() override {
        if (endpoint_ == nullptr) return;
        ucp_request_param_t how{};
        how.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
        how.flags = UCP_EP_CLOSE_FLAG_FORCE;
        wait_for(ucp_ep_close_nbx(endpoint_, &how));
    }
    template <class Done>
    Result<void> move_until(const Done& done) {
        return hosts_.move_until([&] {
            worker_->progress();
            return done();
        });
    }
    void wait_for(ucs_status_ptr_t request) {
        if (!UCS_PTR_IS_PTR(request)) return;
        static_cast<void>(move_until([&] { return ucp_request_check_status(request) != UCS_INPROGRESS; }));
        ucp_request_free(request);
    }
    void say(const MessageHead& head, std::span<const std::byte> bytes) {
        const ucp_request_param_t how{};
        const MessageHead kept = head;
        wait_for(ucp_am_send_nbx(endpoint_, message_id, &kept, sizeof kept, bytes.data(), bytes.size(), &how));
    }
    void say(const MessageHead& head, std::size_t length) { say(head, std::vector<std::byte>(length)); }
    // What rank 1 makes of it.
    std::string verdict(const MessageHead& head, std::span<const std::byte> bytes) {
        say(head, bytes);
        const auto moved = move_until([] { return false; });
        return moved.error().message;
    }
    std::string verdict(const MessageHead& head, std::size_t length) {
        return verdict(head, std::vector<std::byte>(length));
    }

    UcxPuts puts_;
    std::shared_ptr<Introductions> introductions_;
    std::unique_ptr<UcxWorker> worker_;
    ucp_ep_h endpoint_ = nullptr;
    MessageHead head_{.from = 0};
    NetworkHosts hosts_{{"by hand",
                         [this](NetworkFacts facts, const LinksFor& links_for) -> Result<std::unique_ptr<Network>> {
                             if (facts.rank == 1) return kind("", "auto", puts_).make(facts, links_for);
                             introductions_ = introductions(links_for);
                             return nullptr;
                         }},
                        2};
};

}  // namespace tenon::ucx
