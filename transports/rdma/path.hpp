// One way to a peer: a queue pair between a port here and one there, and what has been given to it that the peer's
// device has not acknowledged.
//
// What is sent takes receives that the peer keeps here for this rank; it grants them again in what it sends over the
// same path. Sends are counted on both sides, so that when a path is lost, both know which of them has come.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "transports/rdma/device.hpp"
#include "transports/rdma/registrations.hpp"

namespace tenon::rdma {

// The bytes of a bulk message, and where they go, by whatever path.
struct Write {
    std::uint64_t from = 0, to = 0;
    std::uint32_t length = 0;
    Keys local{}, remote{};
    InUse memory{};  // where they lie in memory of the program
};

// A head and, perhaps, a small message behind it, in a slot.
struct Send {
    std::byte* slot = nullptr;
    std::uint32_t length = 0;  // behind the head
    Write* write = nullptr;    // what is written before, or sent with the head where the peer's receives have room
    bool is_offered = false;   // the write's immediate says all that is news to the peer
};

class Path {
public:
    enum class State { open, stopped, closed };

    Path(Device& device, std::uint32_t number) : device_(&device), number_(number) {}
    Result<Introduction> begin();
    Result<void> open(const Introduction& peer);

    Device& device() const { return *device_; }
    std::uint32_t number() const { return number_; }
    std::uint32_t pair_number() const { return pair_->qp_num; }
    bool is_open() const { return state_ == State::open; }
    State state() const { return state_; }

    // With so many of the peer's receives left over.
    bool may_send(std::size_t kept) const { return credits_ > kept && sent_ - acknowledged_ < device_->window(); }
    std::uint64_t under_way() const { return sent_ - acknowledged_; }
    std::uint64_t bytes_under_way() const { return bytes_under_way_; }
    // Has a receive of the peer's room for a bulk message, behind its head?
    bool fits_a_send(std::uint32_t length) const { return sizeof(WireHead) + length <= peer_receive_bytes_; }
    // Gives it to the device, with what is granted; an error number where it is refused. Takes the write.
    int send(const WireHead& head, const Send& send);
    // Only the bytes; the slot's address is told with the completion.
    int write(std::byte* slot, const Write& write);
    void written(const Write& write) { bytes_under_way_ -= write.length; }
    // The oldest send, which the peer's device has; its write stays until the next is sent.
    Send take_acknowledged();

    // A send of the peer's has come; false where it grants more than there is.
    bool received(const WireHead& head);
    void count_receive() { unposted_receives_++, received_++; }
    // All that have come stand again for others.
    void receives_stand() { free_receives_ += std::exchange(unposted_receives_, 0); }
    bool should_grant() const { return free_receives_ >= (device_->window() + 1) / 2; }

    // ---- losing it
    const std::string& why_lost() const { return why_lost_; }
    std::uint64_t receives() const { return received_; }
    std::uint64_t sends() const { return sent_; }
    std::uint64_t acknowledged() const { return acknowledged_; }
    // Nothing more arrives; what has arrived is still to be taken from the device.
    void stop(std::string why);
    void close();
    // One that never opens: nothing has gone there, nor can it.
    void give_up(std::string why);

private:
    ibv_send_wr write_request(std::byte* slot, const Write& write, ibv_sge& bytes) const;
    int post(ibv_send_wr& first);

    Device* device_;
    std::uint32_t number_;
    QueuePair pair_;
    Introduction own_{};
    std::uint32_t most_inline_ = 0;
    State state_ = State::open;
    std::string why_lost_;
    std::uint32_t credits_ = 0;        // sends that the peer has receives for
    std::uint32_t window_ = 0;         // of the peer, in all
    std::uint32_t peer_receive_bytes_ = 0;
    std::uint32_t free_receives_ = 0;  // of this rank for the peer's sends, not granted yet
    std::uint32_t unposted_receives_ = 0;  // which are to be
    std::uint64_t sent_ = 0, acknowledged_ = 0, received_ = 0;
    std::uint64_t bytes_under_way_ = 0;
    std::vector<Send> under_way_;  // by number, as many as may be,
    std::vector<Write> writes_;    // and what each of them writes
};

}  // namespace tenon::rdma
