// A UCX context with one worker: what one rank sends and receives with.
//
// Configured by UCX_* variables. For one thread at a time. What UCX warns of goes to the library's log, not to standard
// output, unless UCX_LOG_FILE says where.
#pragma once

#include <ucp/api/ucp.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "os/socket.hpp"
#include "tenon/plugin/network.hpp"

namespace tenon::ucx {

// What UCX is told that users have not told it themselves, by variables' names without "UCX_". The system's folder of
// RDMA devices is /sys/class/infiniband.
using UcxSettings = std::map<std::string, std::string>;
UcxSettings settings_of(const NetworkFacts& facts, const std::string& rdma_folder);

// Why this UCX cannot be used; empty where it can.
std::string obstacle_of(unsigned major, unsigned minor);

// Why this process may not pin what UCX would pin for the RDMA devices it would use; empty where it may, or where UCX
// would use none.
std::string pinning_obstacle();
// The first RDMA device that a context uses, by what UCX says of it (ucp_context_print_info); empty where there is
// none.
std::string rdma_device_in(std::string_view context_in_words);
// By what an endpoint's puts go, where a device makes them and not UCX by messages of its own over a socket:
// "rc_verbs/mlx5_0:1". By what UCX says of the endpoint (ucp_ep_print_info); empty where there is no such way.
std::string put_lane_in(std::string_view endpoint_in_words);
std::string endpoint_in_words(ucp_ep_h endpoint);

// "what: UCX's words for the status".
Error ucx_error(Status status, std::string_view what, ucs_status_t cause);

// It ends with the last that holds it: memory that it has registered outlives the worker.
using Context = std::shared_ptr<std::remove_pointer_t<ucp_context_h>>;

class UcxWorker {
public:
    // `arrived` is called, within progress(), for each active message with `message_id`.
    static Result<std::unique_ptr<UcxWorker>> make(ucp_am_recv_callback_t arrived, void* argument,
                                                   const UcxSettings& settings = {}, UcxPuts puts = UcxPuts::never);
    ~UcxWorker();
    UcxWorker(const UcxWorker&) = delete;
    UcxWorker& operator=(const UcxWorker&) = delete;

    ucp_worker_h handle() const { return worker_; }
    const Context& context() const { return context_; }
    // Memory can be registered, and messages be put into peers'.
    bool has_puts() const { return has_puts_; }
    std::span<const std::byte> address() const {
        return {reinterpret_cast<const std::byte*>(address_), address_bytes_};
    }
    // True when something has moved.
    bool progress() const { return ucp_worker_progress(worker_) != 0; }
    // Readable when progress() may move something: UCX's descriptor, or one that always is where UCX has something now;
    // -1 where UCX has none.
    int wait_descriptor() const;

private:
    explicit UcxWorker(os::WakeSignal always) : always_readable_(std::move(always)) { always_readable_.raise(); }
    Result<void> open(ucp_am_recv_callback_t arrived, void* argument, const UcxSettings& settings, UcxPuts puts);
    Result<void> open_context(const UcxSettings& settings, UcxPuts puts);

    os::WakeSignal always_readable_;
    Context context_;
    bool has_puts_ = false;
    ucp_worker_h worker_ = nullptr;
    ucp_address_t* address_ = nullptr;
    std::size_t address_bytes_ = 0;
    int descriptor_ = -1;
};

}  // namespace tenon::ucx
