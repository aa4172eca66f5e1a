#include "transports/rdma/device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <mutex>
#include <tuple>
#include <utility>

#include "base/log.hpp"
#include "os/clock.hpp"
#include "os/internet.hpp"
#include "os/process.hpp"
#include "os/system_error.hpp"

namespace tenon::rdma {
namespace {

constexpr std::uint64_t most_window = 32, least_window = 4;
constexpr std::uint64_t completions_per_send = 2;  // a write and what says so; where all fail, each tells
constexpr std::uint32_t inline_bytes[] = {256, sizeof(WireHead), 0};
// Where no receive stands, which never is: not 7, which means "for ever".
constexpr std::uint8_t receive_retries = 6;
constexpr std::uint8_t least_receive_wait = 14;  // 1 ms: how long a peer waits where no receive stands, if ever
constexpr double timeout_unit_ms = 4.096e-3;

template <class T, int (VerbsApi::*undo)(T*)>
void assign(Handle<T, undo>& to, VerbsApi& api, T* made) {
    to = Handle<T, undo>(made, Undo<T, undo>{&api});
}

// Such that all tries together take no longer than a peer may be silent, as the standard counts.
std::uint8_t timeout_for(std::uint64_t silence_ms, std::uint32_t retries) {
    std::uint8_t exponent = 8;  // 1 ms
    while (exponent < 31 && timeout_unit_ms * static_cast<double>(std::uint64_t{2} << exponent) * (retries + 1) <=
                                static_cast<double>(silence_ms))
        exponent++;
    return exponent;
}

bool is_ipv4(const ibv_gid& gid) {
    constexpr std::uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::equal(std::begin(prefix), std::end(prefix), gid.raw);
}

bool is_set(const ibv_gid& gid) {
    return std::ranges::any_of(gid.raw, [](std::uint8_t b) { return b != 0; });
}

// What is most likely routed between hosts: RoCE version 2 with an IPv4 address, another of version 2, anything.
int merit(const ibv_gid_entry& entry) {
    if (!is_set(entry.gid)) return 0;
    if (entry.gid_type != IBV_GID_TYPE_ROCE_V2) return 1;
    if (is_ipv4(entry.gid)) return 4;
    const bool is_link_local = entry.gid.raw[0] == 0xfe && (entry.gid.raw[1] & 0xc0) == 0x80;
    return is_link_local ? 2 : 3;
}

void choose_gid(VerbsApi& api, Port& port) {
    int best = 0;
    for (int i = 0; i < port.facts.gid_tbl_len && i < 256; i++) {
        ibv_gid_entry entry{};
        if (api.query_gid_ex(port.context.get(), port.number, static_cast<std::uint32_t>(i), &entry) != 0) continue;
        const int is_better = port.facts.link_layer == IBV_LINK_LAYER_ETHERNET ? merit(entry) : i == 0 ? 1 : 0;
        if (is_better <= best) continue;
        best = is_better;
        port.gid_index = static_cast<std::uint8_t>(i);
        port.gid = entry.gid;
    }
}

// Each with a context of its own. Nothing where the device cannot be opened, or none of its ports is active.
void add_ports_of(VerbsApi& api, ibv_device* device, std::vector<Port>& ports) {
    if (device->transport_type == IBV_TRANSPORT_IWARP) return;  // connects in another way
    for (int number = 1, count = 1; number <= count; number++) {
        Port port{.context = {}, .name = api.get_device_name(device), .number = static_cast<std::uint8_t>(number)};
        assign(port.context, api, api.open_device(device));
        if (port.context == nullptr || api.query_device(port.context.get(), &port.device) != 0) return;
        count = port.device.phys_port_cnt;
        if (api.query_port(port.context.get(), port.number, &port.facts) != 0) continue;
        if (port.facts.state != IBV_PORT_ACTIVE) continue;
        choose_gid(api, port);
        ports.push_back(std::move(port));
    }
}

bool is_named(const Port& port, std::string_view name) {
    return name == port.name || name == fmt::format("{}:{}", port.name, port.number);
}

Result<std::vector<Port>> those_named(std::vector<Port> ports, std::string_view named) {
    std::vector<Port> chosen;
    while (!named.empty()) {
        const std::string_view name = named.substr(0, named.find(','));
        named.remove_prefix(std::min(name.size() + 1, named.size()));
        const auto before = chosen.size();
        for (Port& port : ports)
            if (port.context != nullptr && is_named(port, name)) chosen.push_back(std::move(port));
        if (chosen.size() == before)
            return fail(Status::invalid_argument,
                        fmt::format("TENON_RDMA_DEVICES names {}, but this host has no such RDMA device with an active "
                                    "port; look at ibv_devinfo", name));
    }
    return chosen;
}

Result<void> apply_gid_index(VerbsApi& api, std::uint32_t index, Port& port) {
    ibv_gid_entry entry{};
    const bool is_there = static_cast<std::int64_t>(index) < port.facts.gid_tbl_len &&
                          api.query_gid_ex(port.context.get(), port.number, index, &entry) == 0 && is_set(entry.gid);
    if (!is_there)
        return fail(Status::invalid_argument,
                    fmt::format("TENON_RDMA_GID_INDEX is {}, but port {} of the RDMA device {} has no address there; "
                                "look at show_gids, or leave it out", index, port.number, port.name));
    port.gid_index = static_cast<std::uint8_t>(index);
    port.gid = entry.gid;
    return {};
}

// A process that forks (to run a program) while the device writes into its pages may go on with a copy of them that the
// device does not know. libibverbs keeps registered pages from children where the kernel does not see to that; before
// memory is registered for the first time.
void make_forks_safe(VerbsApi& api) {
    static std::once_flag warned;
    if (api.fork_init() == 0) return;
    std::call_once(warned, [] {
        log(LogLevel::warning, "libibverbs cannot make it safe that this process forks, since something else has used "
                               "RDMA in it before; set RDMAV_FORK_SAFE=1, or start no processes from it");
    });
}

// As users want it to be used.
Result<void> apply(VerbsApi& api, const RdmaChoices& choices, Port& port) {
    if (choices.gid_index)
        if (auto ok = apply_gid_index(api, *choices.gid_index, port); !ok) return ok;
    if (choices.pkey_index != 0 && choices.pkey_index >= port.facts.pkey_tbl_len)
        return fail(Status::invalid_argument,
                    fmt::format("TENON_RDMA_PKEY_INDEX is {}, but port {} of the RDMA device {} has {} partition keys; "
                                "look at /sys/class/infiniband/{}/ports/{}/pkeys", choices.pkey_index, port.number,
                                port.name, port.facts.pkey_tbl_len, port.name, port.number));
    port.pkey_index = static_cast<std::uint16_t>(choices.pkey_index);
    port.traffic_class = static_cast<std::uint8_t>(choices.traffic_class);
    port.service_level = static_cast<std::uint8_t>(choices.service_level);
    // 128 bytes times 2 to the power of the code.
    if (choices.packet_bytes)
        port.facts.active_mtu = std::min(port.facts.active_mtu,
                                         static_cast<ibv_mtu>(std::bit_width(*choices.packet_bytes) - 8));
    return {};
}

}  // namespace

Result<std::vector<Port>> find_ports(VerbsApi& api, const RdmaChoices& choices) {
    make_forks_safe(api);
    int count = 0;
    ibv_device** const list = api.get_device_list(&count);
    std::vector<Port> found;
    std::string names;
    for (int i = 0; list != nullptr && i < count; i++) {
        names += (names.empty() ? "" : ", ") + std::string{api.get_device_name(list[i])};
        add_ports_of(api, list[i], found);
    }
    if (list != nullptr) api.free_device_list(list);
    std::ranges::sort(found, {}, [](const Port& port) { return std::tuple(port.name, port.number); });
    if (!found.empty()) {
        if (!choices.devices.empty()) {
            auto named = those_named(std::move(found), choices.devices);
            if (!named) return named;
            found = std::move(*named);
        }
        for (Port& port : found)
            if (auto ok = apply(api, choices, port); !ok) return std::unexpected(ok.error());
        return found;
    }
    if (names.empty())
        return fail(Status::system_error, "this host has no RDMA device (ibv_devices shows none); use "
                                          "TENON_NETWORK=tcp, or load the device's driver");
    return fail(Status::system_error,
                fmt::format("no RDMA device of this host ({}) can be opened and has an active port; look at "
                            "ibv_devinfo, or use TENON_NETWORK=tcp", names));
}

namespace {

// Only who has a limit may have too low a one; and the system's administrator has none, whatever the limit says.
std::string pinning_obstacle(VerbsApi& api, const Port& port) {
    constexpr std::uint64_t wanted = 16 << 20;
    const ByteCount limit = os::pinned_memory_limit();
    if (limit.value >= 4 * wanted) return {};
    auto memory = os::Mapping::anonymous({wanted});
    if (!memory) return memory.error().message;
    Handle<ibv_pd, &VerbsApi::dealloc_pd> domain;
    assign(domain, api, api.alloc_pd(port.context.get()));
    if (domain == nullptr) return os::system_error("cannot use " + port.name).error().message;
    Region region;
    assign(region, api, api.reg_mr(domain.get(), memory->data(), memory->size(), IBV_ACCESS_LOCAL_WRITE));
    if (region != nullptr) return {};
    return fmt::format("{} cannot pin {} bytes of memory: {}; or use TENON_NETWORK=tcp", port.name, wanted,
                       os::pinned_memory_advice());
}

}  // namespace

std::string obstacle(VerbsApi& api) {
    const auto ports = find_ports(api);
    return ports ? pinning_obstacle(api, ports->front()) : ports.error().message;
}

// By making what a peer needs, on the device that carries all that is sent.
std::uint8_t usable_fabrics(VerbsApi& api) {
    auto ports = find_ports(api);
    if (!ports || !pinning_obstacle(api, ports->front()).empty()) return 0;
    const auto layer = ports->front().facts.link_layer;
    const auto device = Device::open(api, std::move(ports->front()), {.peers = 1});
    if (!device || !(*device)->make_pair()) return 0;
    return layer == IBV_LINK_LAYER_ETHERNET ? 2 : 1;
}

Result<std::unique_ptr<Device>> Device::open(VerbsApi& api, Port port, const Wanted& wanted) {
    auto always_ready = os::WakeSignal::create();
    if (!always_ready) return std::unexpected(always_ready.error());
    always_ready->raise();
    std::unique_ptr<Device> made(new Device(api, std::move(port), std::move(*always_ready)));
    if (auto ok = made->set_up(wanted); !ok) return std::unexpected(ok.error());
    return made;
}

std::unexpected<Error> Device::failed(std::string_view what, int error) const {
    const bool is_limited = error == ENOMEM && os::pinned_memory_limit().value != UINT64_MAX;
    const std::string advice = is_limited ? " (" + os::pinned_memory_advice() + ")" : "";
    return os::system_error(fmt::format("the RDMA device {}: {} failed{}", name(), what, advice), error);
}

std::string Device::in_words() const {
    return fmt::format("{}, port {}, packets of {} bytes", name(), port_.number, 128 << port_.facts.active_mtu);
}

std::string Device::way_in_words(const Introduction& peer) const {
    const auto packets = std::min<std::uint32_t>(port_.facts.active_mtu, peer.path_mtu);
    return fmt::format("{} (port {}, GID {}) and {} there, in packets of {} bytes", name(), port_.number,
                       port_.gid_index, peer.device, 128 << packets);
}

Result<void> Device::size_window(const Wanted& wanted) {
    const std::uint64_t peers = std::max<std::uint64_t>(wanted.peers, 1);
    const auto most_receives = static_cast<std::uint64_t>(std::max(port_.device.max_srq_wr, 0));
    const auto most_completions = static_cast<std::uint64_t>(std::max(port_.device.max_cqe, 0));
    const std::uint64_t most_slots_here = wanted.slots_cap_bytes / slot_bytes;
    send_count_ = std::clamp(most_slots_here / 4, least_send_slots, most_send_slots);
    const std::uint64_t of_sends = completions_per_send * send_count_;
    const std::uint64_t by_device =
        std::min(most_receives, most_completions > of_sends ? most_completions - of_sends : 0) / peers;
    if (by_device < least_window)
        return fail(Status::system_error,
                    fmt::format("the RDMA device {} holds {} receives and {} completions, too few for {} peers; use "
                                "TENON_NETWORK=tcp", name(), most_receives, most_completions, peers));
    const std::uint64_t left = most_slots_here - std::min(most_slots_here, send_count_);
    const std::uint64_t by_memory = std::max(left / peers, least_window);
    window_ = static_cast<std::uint32_t>(std::min({most_window, by_device, by_memory}));
    receive_count_ = window_ * peers;
    for (const std::size_t message : roomy_messages)
        if (window_ == most_window && left * slot_bytes / receive_count_ >= sizeof(WireHead) + message) {
            receive_bytes_ = sizeof(WireHead) + message;
            break;
        }
    return {};
}

Result<void> Device::set_up(const Wanted& wanted) {
    retry_count_ = static_cast<std::uint8_t>(wanted.retry_count);
    is_timed_ = wanted.is_timed;
    const std::uint64_t silence_ms = os::TcpSocket::longest_silence_ms(wanted.patience_ms);
    timeout_ = wanted.timeout ? static_cast<std::uint8_t>(*wanted.timeout)
                              : timeout_for(silence_ms, wanted.retry_count);
    if (auto ok = size_window(wanted); !ok) return ok;
    auto memory = os::Mapping::anonymous({slot_memory()});
    if (!memory) return std::unexpected(memory.error());
    slots_ = std::move(*memory);
    ibv_context* const context = port_.context.get();
    assign(domain_, api_, api_.alloc_pd(context));
    if (domain_ == nullptr) return failed("making a protection domain", errno);
    assign(channel_, api_, api_.create_comp_channel(context));
    if (channel_ == nullptr) return failed("making a completion channel", errno);
    const auto entries = static_cast<int>(receive_count_ + completions_per_send * send_count_);
    assign(completions_, api_, api_.create_cq(context, entries, channel_.get()));
    if (completions_ == nullptr) return failed("making a completion queue", errno);
    ibv_srq_init_attr shared{};
    shared.attr.max_wr = static_cast<std::uint32_t>(receive_count_);
    shared.attr.max_sge = 1;
    assign(receives_, api_, api_.create_srq(domain_.get(), &shared));
    if (receives_ == nullptr) return failed("making a shared receive queue", errno);
    auto region = register_memory(slots_.bytes(), false);
    if (!region) return std::unexpected(region.error());
    region_ = std::move(*region);
    for (std::uint64_t i = send_count_; i-- != 0;)
        free_sends_.push_back(slots_.data() + receive_count_ * receive_bytes_ + i * slot_bytes);
    for (std::uint64_t i = 0; i < receive_count_; i++) free_receives_.push_back(slots_.data() + i * receive_bytes_);
    most_unposted_ = std::max<std::size_t>(window_ / 4, 1);
    return post_free_receives();
}

Result<Region> Device::register_memory(std::span<std::byte> memory, bool peers_write) const {
    const int access = IBV_ACCESS_LOCAL_WRITE | (peers_write ? IBV_ACCESS_REMOTE_WRITE : 0);
    Region region;
    assign(region, api_, api_.reg_mr(domain_.get(), memory.data(), memory.size(), access));
    if (region == nullptr) return failed(fmt::format("registering {} bytes of memory", memory.size()), errno);
    return region;
}

// ---- queue pairs --------------------------------------------------------------------------------------------------

Result<Device::NewPair> Device::make_pair() const {
    NewPair made{{}, 0};
    int error = 0;
    for (const std::uint32_t most_inline : inline_bytes) {
        ibv_qp_init_attr wanted{};
        wanted.send_cq = wanted.recv_cq = completions_.get();
        wanted.srq = receives_.get();
        wanted.qp_type = IBV_QPT_RC;
        wanted.cap.max_send_wr = 2 * window_;
        wanted.cap.max_send_sge = 2;
        wanted.cap.max_inline_data = most_inline;
        assign(made.pair, api_, api_.create_qp(domain_.get(), &wanted));
        error = errno;
        made.most_inline = wanted.cap.max_inline_data;
        if (made.pair != nullptr) break;
    }
    if (made.pair == nullptr) return failed("making a queue pair", error);
    ibv_qp_attr to{};
    to.qp_state = IBV_QPS_INIT;
    to.port_num = port_.number;
    to.pkey_index = port_.pkey_index;
    to.qp_access_flags = IBV_ACCESS_REMOTE_WRITE;
    if (const int refused = api_.modify_qp(made.pair.get(), &to,
                                           IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
        refused != 0)
        return failed("preparing a queue pair", refused);
    return made;
}

Introduction Device::introduction(const ibv_qp& pair) const {
    Introduction own{.pair_number = pair.qp_num, .window = window_, .local_id = port_.facts.lid,
                     .path_mtu = static_cast<std::uint32_t>(port_.facts.active_mtu),
                     .receive_bytes = static_cast<std::uint32_t>(receive_bytes_)};
    if (!os::fill_random(std::as_writable_bytes(std::span{&own.packet_number, 1}))) own.packet_number = pair.qp_num;
    own.packet_number &= 0xffffff;
    std::memcpy(own.global_id, port_.gid.raw, sizeof own.global_id);
    port_.name.copy(own.device, sizeof own.device - 1);
    return own;
}

Result<void> Device::connect(ibv_qp& pair, const Introduction& own, const Introduction& peer) const {
    ibv_qp_attr to{};
    to.qp_state = IBV_QPS_RTR;
    to.path_mtu = static_cast<ibv_mtu>(std::min(own.path_mtu, peer.path_mtu));
    to.dest_qp_num = peer.pair_number;
    to.rq_psn = peer.packet_number;
    to.min_rnr_timer = least_receive_wait;
    to.ah_attr.port_num = port_.number;
    to.ah_attr.sl = port_.service_level;
    to.ah_attr.dlid = static_cast<std::uint16_t>(peer.local_id);
    const bool needs_route = port_.facts.link_layer == IBV_LINK_LAYER_ETHERNET || peer.local_id == 0 ||
                             (port_.facts.flags & IBV_QPF_GRH_REQUIRED) != 0;
    if (needs_route) {
        to.ah_attr.is_global = 1;
        to.ah_attr.grh.hop_limit = 64;
        to.ah_attr.grh.traffic_class = port_.traffic_class;
        to.ah_attr.grh.sgid_index = port_.gid_index;
        std::memcpy(to.ah_attr.grh.dgid.raw, peer.global_id, sizeof peer.global_id);
    }
    if (const int refused = api_.modify_qp(&pair, &to,
                                           IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                                               IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
        refused != 0)
        return failed(fmt::format("finding the way to the peer's device {}", peer.device), refused);
    to = {};
    to.qp_state = IBV_QPS_RTS;
    to.sq_psn = own.packet_number;
    to.timeout = timeout_;
    to.retry_cnt = retry_count_;
    to.rnr_retry = receive_retries;
    if (const int refused = api_.modify_qp(&pair, &to,
                                           IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
                                               IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
        refused != 0)
        return failed("opening a queue pair", refused);
    return {};
}

void Device::stop(ibv_qp& pair) const {
    ibv_qp_attr to{};
    to.qp_state = IBV_QPS_ERR;
    api_.modify_qp(&pair, &to, IBV_QP_STATE);  // where it fails, the pair has stopped
}

// ---- moving -------------------------------------------------------------------------------------------------------

std::byte* Device::take_send_slot() {
    if (free_sends_.empty()) return nullptr;
    std::byte* const slot = free_sends_.back();
    free_sends_.pop_back();
    return slot;
}

std::size_t Device::poll(std::span<ibv_wc> done) {
    if (is_timed_) tell_time();
    const int count = api_.poll_cq(completions_.get(), static_cast<int>(done.size()), done.data());
    has_more_ = count == static_cast<int>(done.size());
    if (count <= 0) return 0;
    is_armed_ = false;
    return static_cast<std::size_t>(count);
}

// Who sleeps until something is done knows when.
void Device::tell_time() {
    if (has_more_) return;
    const std::uint64_t now = api_.now_ns();
    unknown_ns_ = std::exchange(is_awaited_, false) ? 0 : now - polled_ns_;
    polled_ns_ = now;
}

Result<void> Device::post_free_receives() {
    constexpr std::size_t most_at_once = 16;
    std::array<ibv_sge, most_at_once> places;
    std::array<ibv_recv_wr, most_at_once> wanted;
    while (!free_receives_.empty()) {
        const std::size_t count = std::min(most_at_once, free_receives_.size());
        for (std::size_t i = 0; i < count; i++) {
            const auto id = reinterpret_cast<std::uintptr_t>(free_receives_[free_receives_.size() - count + i]);
            places[i] = {.addr = id, .length = static_cast<std::uint32_t>(receive_bytes_), .lkey = region_->lkey};
            wanted[i] = {.wr_id = id, .next = i + 1 == count ? nullptr : &wanted[i + 1], .sg_list = &places[i],
                         .num_sge = 1};
        }
        ibv_recv_wr* refused = nullptr;
        if (const int error = api_.post_srq_recv(receives_.get(), wanted.data(), &refused); error != 0)
            return failed("posting a receive", error);
        free_receives_.resize(free_receives_.size() - count);
    }
    return {};
}

bool Device::is_readable(int descriptor) {
    pollfd watched{descriptor, POLLIN, 0};
    const auto ready = os::wait_ready(std::span{&watched, 1}, os::Deadline::never(), 0);
    return ready && *ready;
}

// What completes between the last poll and the arming brings no event: so the first time, the caller is sent back.
int Device::wait_descriptor() {
    is_awaited_ = is_armed_ && !is_readable(channel_->fd);
    if (is_awaited_) return channel_->fd;
    while (is_readable(channel_->fd))
        if (api_.take_cq_event(channel_.get()) != 0) break;
    is_armed_ = api_.req_notify_cq(completions_.get()) == 0;
    return always_ready_.descriptor().number();
}

// ---- what the device reports --------------------------------------------------------------------------------------

// A port that is down ends nothing by itself: retries outlast a short cut.
void Device::take_port_event(ibv_event_type what, int number) {
    if (number != port_.number || (what == IBV_EVENT_PORT_ERR) == port_is_down_) return;
    port_is_down_ = what == IBV_EVENT_PORT_ERR;
    if (port_is_down_)
        log(LogLevel::warning, "port {} of the RDMA device {} has gone down; what is under way is tried again",
            number, name());
    else
        log(LogLevel::warning, "port {} of the RDMA device {} is up again", number, name());
}

std::string Device::name_and_state() const {
    return port_is_down_ ? fmt::format("{} (its port {} has gone down)", name(), port_.number) : name();
}

std::optional<Trouble> Device::next_trouble() {
    while (is_readable(port_.context->async_fd)) {
        ibv_async_event event{};
        if (api_.get_async_event(port_.context.get(), &event) != 0) break;
        std::optional<Trouble> trouble;
        switch (event.event_type) {
            case IBV_EVENT_PORT_ERR:
            case IBV_EVENT_PORT_ACTIVE: take_port_event(event.event_type, event.element.port_num); break;
            case IBV_EVENT_QP_FATAL:
            case IBV_EVENT_QP_REQ_ERR:
            case IBV_EVENT_QP_ACCESS_ERR: trouble = {event.event_type, event.element.qp->qp_num}; break;
            case IBV_EVENT_CQ_ERR:
            case IBV_EVENT_SRQ_ERR:
            case IBV_EVENT_DEVICE_FATAL: trouble = {event.event_type}; break;
            default: break;
        }
        api_.ack_async_event(&event);
        if (trouble) return trouble;
    }
    return std::nullopt;
}

}  // namespace tenon::rdma
