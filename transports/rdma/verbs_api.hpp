// The calls of libibverbs that this network uses, so that tests can put a fake in their place: each does what its
// namesake does, and returns what it returns (0 or an error number, or null with errno set).
#pragma once

#include <infiniband/verbs.h>

#include <cstddef>
#include <cstdint>

namespace tenon::rdma {

class VerbsApi {
public:
    virtual ~VerbsApi() = default;

    virtual int fork_init() = 0;
    virtual ibv_device** get_device_list(int* count) = 0;
    virtual void free_device_list(ibv_device** list) = 0;
    virtual const char* get_device_name(ibv_device* device) = 0;
    virtual ibv_context* open_device(ibv_device* device) = 0;
    virtual int close_device(ibv_context* context) = 0;
    virtual int query_device(ibv_context* context, ibv_device_attr* attributes) = 0;
    virtual int query_port(ibv_context* context, std::uint8_t port, ibv_port_attr* attributes) = 0;
    virtual int query_gid_ex(ibv_context* context, std::uint8_t port, std::uint32_t index, ibv_gid_entry* entry) = 0;
    // Waits for an event where the context's descriptor is not readable. What one is about cannot be destroyed until it
    // is acknowledged.
    virtual int get_async_event(ibv_context* context, ibv_async_event* event) = 0;
    virtual void ack_async_event(ibv_async_event* event) = 0;

    virtual ibv_pd* alloc_pd(ibv_context* context) = 0;
    virtual int dealloc_pd(ibv_pd* domain) = 0;
    virtual ibv_mr* reg_mr(ibv_pd* domain, void* address, std::size_t length, int access) = 0;
    virtual int dereg_mr(ibv_mr* region) = 0;
    virtual ibv_comp_channel* create_comp_channel(ibv_context* context) = 0;
    virtual int destroy_comp_channel(ibv_comp_channel* channel) = 0;
    virtual ibv_cq* create_cq(ibv_context* context, int entries, ibv_comp_channel* channel) = 0;
    virtual int destroy_cq(ibv_cq* queue) = 0;
    virtual ibv_srq* create_srq(ibv_pd* domain, ibv_srq_init_attr* attributes) = 0;
    virtual int destroy_srq(ibv_srq* queue) = 0;
    virtual ibv_qp* create_qp(ibv_pd* domain, ibv_qp_init_attr* attributes) = 0;
    virtual int modify_qp(ibv_qp* pair, ibv_qp_attr* attributes, int mask) = 0;
    virtual int destroy_qp(ibv_qp* pair) = 0;

    virtual int post_send(ibv_qp* pair, ibv_send_wr* first, ibv_send_wr** refused) = 0;
    virtual int post_srq_recv(ibv_srq* queue, ibv_recv_wr* first, ibv_recv_wr** refused) = 0;
    virtual int poll_cq(ibv_cq* queue, int most, ibv_wc* completions) = 0;
    virtual int req_notify_cq(ibv_cq* queue) = 0;
    // Takes and acknowledges the event that has made the channel's descriptor readable.
    virtual int take_cq_event(ibv_comp_channel* channel) = 0;

    // Not libibverbs', but that by which its work is timed.
    virtual std::uint64_t now_ns() = 0;
};

// The library's own; lives for ever.
VerbsApi& libibverbs();

}  // namespace tenon::rdma
