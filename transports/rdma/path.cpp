#include "transports/rdma/path.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace tenon::rdma {

Result<Introduction> Path::begin() {
    auto made = device_->make_pair();
    if (!made) return std::unexpected(made.error());
    pair_ = std::move(made->pair);
    most_inline_ = made->most_inline;
    own_ = device_->introduction(*pair_);
    under_way_.resize(std::bit_ceil(device_->window()));
    writes_.resize(under_way_.size());
    return own_;
}

Result<void> Path::open(const Introduction& peer) {
    window_ = credits_ = peer.window;
    peer_receive_bytes_ = peer.receive_bytes;
    return device_->connect(*pair_, own_, peer);
}

int Path::post(ibv_send_wr& first) {
    ibv_send_wr* refused = nullptr;
    return device_->api().post_send(pair_.get(), &first, &refused);
}

ibv_send_wr Path::write_request(std::byte* slot, const Write& write, ibv_sge& bytes) const {
    bytes = {.addr = write.from, .length = write.length, .lkey = write.local[number_]};
    ibv_send_wr wanted{};
    wanted.wr_id = reinterpret_cast<std::uintptr_t>(slot) | std::to_underlying(Work::write);
    wanted.sg_list = &bytes;
    wanted.num_sge = 1;
    wanted.opcode = IBV_WR_RDMA_WRITE;
    wanted.wr.rdma.remote_addr = write.to;
    wanted.wr.rdma.rkey = write.remote[number_];
    return wanted;
}

int Path::write(std::byte* slot, const Write& write) {
    ibv_sge bytes;
    ibv_send_wr wanted = write_request(slot, write, bytes);
    wanted.send_flags = IBV_SEND_SIGNALED;
    bytes_under_way_ += write.length;
    return post(wanted);
}

int Path::send(const WireHead& head, const Send& send) {
    const bool by_immediate = send.is_offered && !should_grant();
    WireHead granting = head;
    if (!by_immediate) granting.granted = std::exchange(free_receives_, 0);
    std::memcpy(send.slot, &granting, head_bytes(head));
    ibv_sge parts[2] = {{.addr = reinterpret_cast<std::uintptr_t>(send.slot),
                         .length = static_cast<std::uint32_t>(head_bytes(head)) + send.length,
                         .lkey = device_->slots_key()}};
    ibv_send_wr wanted{};
    wanted.wr_id = reinterpret_cast<std::uintptr_t>(send.slot) | std::to_underlying(Work::send);
    wanted.sg_list = parts;
    wanted.num_sge = 1;
    wanted.opcode = IBV_WR_SEND;
    wanted.send_flags = IBV_SEND_SIGNALED | (parts[0].length <= most_inline_ ? unsigned{IBV_SEND_INLINE} : 0U);
    credits_--;
    const std::size_t place = sent_++ & (under_way_.size() - 1);
    under_way_[place] = send;
    if (send.write == nullptr) return post(wanted);
    Write& write = writes_[place] = std::move(*send.write);
    under_way_[place].write = &write;
    bytes_under_way_ += write.length;
    if (fits_a_send(write.length)) {
        parts[1] = {.addr = write.from, .length = write.length, .lkey = write.local[number_]};
        wanted.num_sge = 2;
        wanted.send_flags = IBV_SEND_SIGNALED;
        return post(wanted);
    }
    ibv_sge written;
    ibv_send_wr writing = write_request(send.slot, write, written);
    if (!by_immediate) {
        writing.next = &wanted;
        return post(writing);
    }
    writing.wr_id = wanted.wr_id;
    writing.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
    writing.imm_data = write_immediate(head.frame);
    writing.send_flags = IBV_SEND_SIGNALED;
    return post(writing);
}

Send Path::take_acknowledged() {
    const Send oldest = under_way_[acknowledged_++ & (under_way_.size() - 1)];
    if (oldest.write != nullptr) bytes_under_way_ -= oldest.write->length;
    return oldest;
}

bool Path::received(const WireHead& head) {
    if (head.granted > window_ - credits_) return false;
    credits_ += head.granted;
    return true;
}

void Path::stop(std::string why) {
    why_lost_ = std::move(why);
    state_ = State::stopped;
    device_->stop(*pair_);
}

void Path::give_up(std::string why) {
    why_lost_ = std::move(why);
    close();
}

void Path::close() {
    state_ = State::closed;
    pair_.reset();
}

}  // namespace tenon::rdma
