// libibverbs without a device: all ranks of a process on one fabric, on which everything arrives at once. It is strict
// where real devices are (keys, bounds, states, capacities), counts what would go wrong only on a slow fabric, and
// fails what it is told to.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "tenon/plugin/rdma.hpp"
#include "transports/rdma/verbs_api.hpp"

namespace tenon::rdma {

class FakeVerbs final : public VerbsApi {
public:
    FakeVerbs();
    ~FakeVerbs() override;

    // What there is; to be set before a rank opens the device.
    std::vector<std::string> devices{"fake0"};
    std::map<std::string, std::uint8_t> widths{};  // of their links, as verbs code them; 1 lane where nothing is said
    int ports_per_device = 1;
    RdmaChoices choices{};  // what TENON_RDMA_* say
    ibv_port_state port_state = IBV_PORT_ACTIVE;
    int most_receives = 4096, most_completions = 1 << 16;
    std::uint32_t most_inline = 512;
    ibv_mtu mtu = IBV_MTU_4096;
    std::uint8_t link_layer = IBV_LINK_LAYER_ETHERNET;
    ibv_transport_type transport = IBV_TRANSPORT_IB;

    // What happens to the next work request of this kind: this status, and the queue pair breaks.
    void fail_next(ibv_wr_opcode what, ibv_wc_status status) { failing_ = {what, status}; }
    // From now on nothing gets from or to this device.
    void cut(const std::string& device) { cut_.insert(device); }
    // The same after so many more work requests on it.
    void cut_after(const std::string& device, std::size_t requests) { cut_after_[device] = requests; }
    // This device's work requests are done one after the other, so many bytes for each poll, and not at once. What
    // they bring is there at once all the same.
    std::map<std::string, std::size_t> bytes_per_poll{};
    std::size_t polls = 0;
    // The calls of this name, or of this name on one device ("create_qp on fake1"), fail with this error number.
    // "connect" is the modify_qp that tells a queue pair of its peer's.
    std::map<std::string, int> refused{};
    // Brings bytes to a queue pair as if its peer had sent them.
    void deliver(std::uint32_t pair_number, std::span<const std::byte> bytes);
    void deliver_immediate(std::uint32_t pair_number, std::uint32_t immediate);
    void deliver_failed(std::uint32_t pair_number, ibv_wc_status status);
    // What every device reports of a port or of itself, or the one with this queue pair of that.
    void report(ibv_event_type what, int port = 1);
    void report_of(const std::string& device, ibv_event_type what);
    void report_of_pair(ibv_event_type what, std::uint32_t pair_number);
    std::size_t reports_waiting() const;
    // Of the queue pairs there are, in the order of their making.
    std::vector<std::uint32_t> pairs() const;

    // What must stay 0: sends for which no receive stood, or no connected queue pair; completions too many for a queue.
    std::size_t ran_dry = 0, lost = 0, overruns = 0;
    // What has been made and not undone, and events that have been taken and not acknowledged; sends so far, and
    // their bytes.
    std::size_t alive = 0, sends = 0, sent_bytes = 0;
    std::size_t immediates = 0;  // of writes
    // What was written, in order.
    struct Write {
        const std::byte* from;
        std::byte* to;
        std::size_t length;
        std::string device;
        std::uint32_t pair_number;
    };
    std::vector<Write> writes;
    std::size_t bytes_written_by(const std::string& device) const;
    std::size_t registrations_made = 0;
    bool forks_are_safe = false;
    std::size_t registered_too_early = 0;  // before forks were made safe
    std::size_t registered() const { return regions_.size(); }
    ibv_mtu path_mtu{};              // of the last pair that was connected
    std::uint8_t route_index = 255;  // its GID's
    ibv_qp_attr settled{};           // what else it was set to

    int fork_init() override;
    ibv_device** get_device_list(int* count) override;
    void free_device_list(ibv_device** list) override;
    const char* get_device_name(ibv_device* device) override;
    ibv_context* open_device(ibv_device* device) override;
    int close_device(ibv_context* context) override;
    int query_device(ibv_context* context, ibv_device_attr* attributes) override;
    int query_port(ibv_context* context, std::uint8_t port, ibv_port_attr* attributes) override;
    int query_gid_ex(ibv_context* context, std::uint8_t port, std::uint32_t index, ibv_gid_entry* entry) override;
    int get_async_event(ibv_context* context, ibv_async_event* event) override;
    void ack_async_event(ibv_async_event* event) override;
    ibv_pd* alloc_pd(ibv_context* context) override;
    int dealloc_pd(ibv_pd* domain) override;
    ibv_mr* reg_mr(ibv_pd* domain, void* address, std::size_t length, int access) override;
    int dereg_mr(ibv_mr* region) override;
    ibv_comp_channel* create_comp_channel(ibv_context* context) override;
    int destroy_comp_channel(ibv_comp_channel* channel) override;
    ibv_cq* create_cq(ibv_context* context, int entries, ibv_comp_channel* channel) override;
    int destroy_cq(ibv_cq* queue) override;
    ibv_srq* create_srq(ibv_pd* domain, ibv_srq_init_attr* attributes) override;
    int destroy_srq(ibv_srq* queue) override;
    ibv_qp* create_qp(ibv_pd* domain, ibv_qp_init_attr* attributes) override;
    int modify_qp(ibv_qp* pair, ibv_qp_attr* attributes, int mask) override;
    int destroy_qp(ibv_qp* pair) override;
    int post_send(ibv_qp* pair, ibv_send_wr* first, ibv_send_wr** refused_one) override;
    int post_srq_recv(ibv_srq* queue, ibv_recv_wr* first, ibv_recv_wr** refused_one) override;
    int poll_cq(ibv_cq* queue, int most, ibv_wc* completions) override;
    int req_notify_cq(ibv_cq* queue) override;
    int take_cq_event(ibv_comp_channel* channel) override;
    std::uint64_t now_ns() override { return polls * 1000; }

private:
    struct Context;
    struct Pair;
    struct Queue;
    struct Shared;
    struct Channel;
    struct Failing {
        ibv_wr_opcode what;
        ibv_wc_status status;
    };
    bool refuses(const std::string& call, const ibv_context* context = nullptr);
    template <class T>
    int undo(T* made);
    bool is_registered(std::uint32_t key, std::uint64_t address, std::uint64_t length, int access) const;
    ibv_wc_status carry_out(Pair& pair, const ibv_send_wr& wanted);
    ibv_wc_status send(Pair& to, std::span<const std::byte> bytes);
    ibv_wc_status tell_immediate(Pair& to, std::uint32_t immediate, std::uint32_t length);
    void complete(Queue& queue, const ibv_wc& done);
    void work_on(Queue& queue);

    std::set<Context*> contexts_;
    std::map<std::uint32_t, Pair*> pairs_;
    std::map<std::uint32_t, ibv_mr*> regions_;
    std::optional<Failing> failing_;
    std::set<std::string> cut_;
    std::map<std::string, std::size_t> cut_after_;
    std::uint32_t next_number_ = 1;
};

}  // namespace tenon::rdma
