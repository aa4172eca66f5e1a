#include "transports/rdma/verbs_api.hpp"

#include "os/clock.hpp"

namespace tenon::rdma {
namespace {

class LibIbverbs final : public VerbsApi {
public:
    int fork_init() override { return ibv_fork_init(); }
    ibv_device** get_device_list(int* count) override { return ibv_get_device_list(count); }
    void free_device_list(ibv_device** list) override { ibv_free_device_list(list); }
    const char* get_device_name(ibv_device* device) override { return ibv_get_device_name(device); }
    ibv_context* open_device(ibv_device* device) override { return ibv_open_device(device); }
    int close_device(ibv_context* context) override { return ibv_close_device(context); }
    int query_device(ibv_context* context, ibv_device_attr* attributes) override {
        return ibv_query_device(context, attributes);
    }
    int query_port(ibv_context* context, std::uint8_t port, ibv_port_attr* attributes) override {
        return ibv_query_port(context, port, attributes);
    }
    int query_gid_ex(ibv_context* context, std::uint8_t port, std::uint32_t index, ibv_gid_entry* entry) override {
        return ibv_query_gid_ex(context, port, index, entry, 0);
    }
    int get_async_event(ibv_context* context, ibv_async_event* event) override {
        return ibv_get_async_event(context, event);
    }
    void ack_async_event(ibv_async_event* event) override { ibv_ack_async_event(event); }

    ibv_pd* alloc_pd(ibv_context* context) override { return ibv_alloc_pd(context); }
    int dealloc_pd(ibv_pd* domain) override { return ibv_dealloc_pd(domain); }
    ibv_mr* reg_mr(ibv_pd* domain, void* address, std::size_t length, int access) override {
        return ibv_reg_mr(domain, address, length, access);
    }
    int dereg_mr(ibv_mr* region) override { return ibv_dereg_mr(region); }
    ibv_comp_channel* create_comp_channel(ibv_context* context) override { return ibv_create_comp_channel(context); }
    int destroy_comp_channel(ibv_comp_channel* channel) override { return ibv_destroy_comp_channel(channel); }
    ibv_cq* create_cq(ibv_context* context, int entries, ibv_comp_channel* channel) override {
        return ibv_create_cq(context, entries, nullptr, channel, 0);
    }
    int destroy_cq(ibv_cq* queue) override { return ibv_destroy_cq(queue); }
    ibv_srq* create_srq(ibv_pd* domain, ibv_srq_init_attr* attributes) override {
        return ibv_create_srq(domain, attributes);
    }
    int destroy_srq(ibv_srq* queue) override { return ibv_destroy_srq(queue); }
    ibv_qp* create_qp(ibv_pd* domain, ibv_qp_init_attr* attributes) override {
        return ibv_create_qp(domain, attributes);
    }
    int modify_qp(ibv_qp* pair, ibv_qp_attr* attributes, int mask) override {
        return ibv_modify_qp(pair, attributes, mask);
    }
    int destroy_qp(ibv_qp* pair) override { return ibv_destroy_qp(pair); }

    int post_send(ibv_qp* pair, ibv_send_wr* first, ibv_send_wr** refused) override {
        return ibv_post_send(pair, first, refused);
    }
    int post_srq_recv(ibv_srq* queue, ibv_recv_wr* first, ibv_recv_wr** refused) override {
        return ibv_post_srq_recv(queue, first, refused);
    }
    int poll_cq(ibv_cq* queue, int most, ibv_wc* completions) override { return ibv_poll_cq(queue, most, completions); }
    int req_notify_cq(ibv_cq* queue) override { return ibv_req_notify_cq(queue, 0); }
    int take_cq_event(ibv_comp_channel* channel) override {
        ibv_cq* queue = nullptr;
        void* tag = nullptr;
        if (const int error = ibv_get_cq_event(channel, &queue, &tag); error != 0) return error;
        ibv_ack_cq_events(queue, 1);
        return 0;
    }
    std::uint64_t now_ns() override { return os::now_ns(); }
};

}  // namespace

VerbsApi& libibverbs() {
    static auto* const made = new LibIbverbs;
    return *made;
}

}  // namespace tenon::rdma
