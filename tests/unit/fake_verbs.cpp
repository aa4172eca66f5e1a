#include "tests/unit/fake_verbs.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tenon::rdma {

struct FakeVerbs::Queue : ibv_cq {
    std::deque<ibv_wc> done;
    std::deque<std::pair<ibv_wc, std::size_t>> late;  // with the bytes that are left of each
    Channel* events = nullptr;
    bool is_armed = false;
};
struct FakeVerbs::Shared : ibv_srq {
    std::deque<ibv_sge> places;  // whose ids are their addresses
    std::size_t most = 0;
};
struct FakeVerbs::Channel : ibv_comp_channel {};
struct FakeVerbs::Context : ibv_context {
    std::string name;
    std::deque<ibv_async_event> reports;
    void report(const ibv_async_event& event) {
        reports.push_back(event);
        eventfd_write(async_fd, 1);
    }
};
struct FakeVerbs::Pair : ibv_qp {
    ibv_qp_cap room{};
    std::uint32_t peer = 0;
    std::size_t posted = 0;  // and not known to be done
};

FakeVerbs::FakeVerbs() = default;
FakeVerbs::~FakeVerbs() = default;

bool FakeVerbs::refuses(const std::string& call, const ibv_context* context) {
    auto at = refused.find(call);
    if (at == refused.end() && context != nullptr)
        at = refused.find(call + " on " + static_cast<const Context*>(context)->name);
    if (at != refused.end()) errno = at->second;
    return at != refused.end();
}

template <class T>
int FakeVerbs::undo(T* made) {
    delete made;
    alive--;
    return 0;
}

// ---- devices ------------------------------------------------------------------------------------------------------

ibv_device** FakeVerbs::get_device_list(int* count) {
    *count = static_cast<int>(devices.size());
    auto** const list = new ibv_device*[devices.size() + 1]();
    for (std::size_t i = 0; i < devices.size(); i++) {
        list[i] = new ibv_device{};
        list[i]->transport_type = transport;
        devices[i].copy(list[i]->name, sizeof list[i]->name - 1);
    }
    alive++;
    return list;
}
void FakeVerbs::free_device_list(ibv_device** list) {
    for (auto** device = list; *device != nullptr; device++) delete *device;
    delete[] list;
    alive--;
}
int FakeVerbs::fork_init() {
    if (refuses("fork_init")) return errno;
    forks_are_safe = true;
    return 0;
}
const char* FakeVerbs::get_device_name(ibv_device* device) { return device->name; }

ibv_context* FakeVerbs::open_device(ibv_device* device) {
    if (refuses("open_device")) return nullptr;
    alive++;
    auto* const made = new Context;
    made->name = device->name;
    made->async_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    contexts_.insert(made);
    return made;
}
int FakeVerbs::close_device(ibv_context* raw) {
    auto* const context = static_cast<Context*>(raw);
    close(context->async_fd);
    contexts_.erase(context);
    return undo(context);
}
int FakeVerbs::get_async_event(ibv_context* raw, ibv_async_event* event) {
    auto& context = *static_cast<Context*>(raw);
    eventfd_t unused = 0;
    eventfd_read(context.async_fd, &unused);
    *event = context.reports.front();
    context.reports.pop_front();
    alive++;
    return 0;
}
void FakeVerbs::ack_async_event(ibv_async_event*) { alive--; }

int FakeVerbs::query_device(ibv_context*, ibv_device_attr* attributes) {
    *attributes = {};
    attributes->phys_port_cnt = static_cast<std::uint8_t>(ports_per_device);
    attributes->max_srq_wr = most_receives;
    attributes->max_cqe = most_completions;
    return 0;
}
int FakeVerbs::query_port(ibv_context* context, std::uint8_t, ibv_port_attr* attributes) {
    *attributes = {};
    attributes->state = port_state;
    attributes->active_mtu = mtu;
    attributes->active_speed = 4;
    const auto width = widths.find(static_cast<Context*>(context)->name);
    attributes->active_width = width == widths.end() ? std::uint8_t{1} : width->second;
    attributes->gid_tbl_len = 4;
    attributes->pkey_tbl_len = 2;
    attributes->link_layer = link_layer;
    return 0;
}
// A link-local one of each version, then one made of an IPv4 address of each version; as drivers have them.
int FakeVerbs::query_gid_ex(ibv_context*, std::uint8_t, std::uint32_t index, ibv_gid_entry* entry) {
    *entry = {};
    if (index >= 4) return ENODATA;
    entry->gid_type = index % 2 == 0 ? IBV_GID_TYPE_ROCE_V1 : IBV_GID_TYPE_ROCE_V2;
    constexpr std::uint8_t local[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    constexpr std::uint8_t address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
    std::ranges::copy(index < 2 ? local : address, entry->gid.raw);
    return 0;
}

// ---- what is made on them -----------------------------------------------------------------------------------------

ibv_pd* FakeVerbs::alloc_pd(ibv_context* context) {
    if (refuses("alloc_pd", context)) return nullptr;
    alive++;
    return new ibv_pd{.context = context, .handle = 0};
}
int FakeVerbs::dealloc_pd(ibv_pd* domain) { return undo(domain); }

ibv_mr* FakeVerbs::reg_mr(ibv_pd* domain, void* address, std::size_t length, int access) {
    if (refuses("reg_mr", domain->context)) return nullptr;
    alive++;
    auto* const region = new ibv_mr{};
    region->pd = domain;
    region->addr = address;
    region->length = length;
    region->handle = static_cast<std::uint32_t>(access);
    region->lkey = region->rkey = next_number_++;
    regions_[region->lkey] = region;
    registrations_made++;
    registered_too_early += forks_are_safe ? 0 : 1;
    return region;
}
int FakeVerbs::dereg_mr(ibv_mr* region) {
    regions_.erase(region->lkey);
    return undo(region);
}
bool FakeVerbs::is_registered(std::uint32_t key, std::uint64_t address, std::uint64_t length, int access) const {
    const auto at = regions_.find(key);
    if (at == regions_.end()) return false;
    const auto first = reinterpret_cast<std::uintptr_t>(at->second->addr);
    return (static_cast<int>(at->second->handle) & access) == access && address >= first &&
           address + length <= first + at->second->length;
}

ibv_comp_channel* FakeVerbs::create_comp_channel(ibv_context*) {
    if (refuses("create_comp_channel")) return nullptr;
    alive++;
    auto* const made = new Channel;
    made->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    return made;
}
int FakeVerbs::destroy_comp_channel(ibv_comp_channel* channel) {
    close(channel->fd);
    return undo(static_cast<Channel*>(channel));
}

ibv_cq* FakeVerbs::create_cq(ibv_context* context, int entries, ibv_comp_channel* channel) {
    if (refuses("create_cq", context)) return nullptr;
    alive++;
    auto* const made = new Queue;
    made->context = context;
    made->cqe = entries;
    made->events = static_cast<Channel*>(channel);
    return made;
}
int FakeVerbs::destroy_cq(ibv_cq* queue) { return undo(static_cast<Queue*>(queue)); }

ibv_srq* FakeVerbs::create_srq(ibv_pd*, ibv_srq_init_attr* attributes) {
    if (refuses("create_srq")) return nullptr;
    alive++;
    auto* const made = new Shared;
    made->most = attributes->attr.max_wr;
    return made;
}
int FakeVerbs::destroy_srq(ibv_srq* queue) { return undo(static_cast<Shared*>(queue)); }

ibv_qp* FakeVerbs::create_qp(ibv_pd*, ibv_qp_init_attr* attributes) {
    if (refuses("create_qp", attributes->send_cq->context)) return nullptr;
    if (attributes->cap.max_inline_data > most_inline) {
        errno = EINVAL;
        return nullptr;
    }
    alive++;
    auto* const made = new Pair;
    made->qp_num = next_number_++;
    made->room = attributes->cap;
    made->send_cq = attributes->send_cq;
    made->recv_cq = attributes->recv_cq;
    made->srq = attributes->srq;
    made->context = attributes->send_cq->context;
    made->state = IBV_QPS_RESET;
    pairs_[made->qp_num] = made;
    return made;
}
int FakeVerbs::modify_qp(ibv_qp* pair, ibv_qp_attr* attributes, int mask) {
    if (refuses("modify_qp", pair->context)) return errno;
    if (attributes->qp_state == IBV_QPS_RTR && refuses("connect", pair->context)) return errno;
    const bool is_next = attributes->qp_state == pair->state + 1 || attributes->qp_state == IBV_QPS_ERR;
    if ((mask & IBV_QP_STATE) == 0 || !is_next) return EINVAL;
    pair->state = attributes->qp_state;
    if ((mask & IBV_QP_DEST_QPN) != 0) static_cast<Pair*>(pair)->peer = attributes->dest_qp_num;
    if ((mask & IBV_QP_PATH_MTU) != 0) path_mtu = attributes->path_mtu;
    if ((mask & IBV_QP_AV) != 0) {
        route_index = attributes->ah_attr.grh.sgid_index;
        settled.ah_attr = attributes->ah_attr;
    }
    if ((mask & IBV_QP_PKEY_INDEX) != 0) settled.pkey_index = attributes->pkey_index;
    if ((mask & IBV_QP_TIMEOUT) != 0) settled.timeout = attributes->timeout;
    if ((mask & IBV_QP_RETRY_CNT) != 0) settled.retry_cnt = attributes->retry_cnt;
    return 0;
}
int FakeVerbs::destroy_qp(ibv_qp* pair) {
    pairs_.erase(pair->qp_num);
    return undo(static_cast<Pair*>(pair));
}
std::vector<std::uint32_t> FakeVerbs::pairs() const {
    std::vector<std::uint32_t> numbers;
    for (const auto& [number, _] : pairs_) numbers.push_back(number);
    return numbers;
}

// ---- moving -------------------------------------------------------------------------------------------------------

void FakeVerbs::complete(Queue& queue, const ibv_wc& done) {
    if (queue.done.size() >= static_cast<std::size_t>(queue.cqe)) overruns++;
    queue.done.push_back(done);
    if (queue.is_armed && queue.events != nullptr) eventfd_write(queue.events->fd, 1);
    queue.is_armed = false;
}

static std::span<const ibv_sge> parts_of(const ibv_send_wr& wanted) {
    return {wanted.sg_list, static_cast<std::size_t>(wanted.num_sge)};
}
static std::vector<std::byte> gathered(const ibv_send_wr& wanted) {
    std::vector<std::byte> all;
    for (const ibv_sge& part : parts_of(wanted)) {
        const auto* const bytes = reinterpret_cast<const std::byte*>(static_cast<std::uintptr_t>(part.addr));
        all.insert(all.end(), bytes, bytes + part.length);
    }
    return all;
}

ibv_wc_status FakeVerbs::send(Pair& to, std::span<const std::byte> bytes) {
    auto& places = static_cast<Shared*>(to.srq)->places;
    if (places.empty()) {
        ran_dry++;
        return IBV_WC_RNR_RETRY_EXC_ERR;
    }
    const ibv_sge place = places.front();
    if (bytes.size() > place.length) return IBV_WC_REM_INV_REQ_ERR;
    places.pop_front();
    std::memcpy(reinterpret_cast<void*>(static_cast<std::uintptr_t>(place.addr)), bytes.data(), bytes.size());
    ibv_wc done{};
    done.wr_id = place.addr;
    done.opcode = IBV_WC_RECV;
    done.byte_len = static_cast<std::uint32_t>(bytes.size());
    done.qp_num = to.qp_num;
    complete(*static_cast<Queue*>(to.recv_cq), done);
    return IBV_WC_SUCCESS;
}

ibv_wc_status FakeVerbs::tell_immediate(Pair& to, std::uint32_t immediate, std::uint32_t length) {
    auto& places = static_cast<Shared*>(to.srq)->places;
    if (places.empty()) {
        ran_dry++;
        return IBV_WC_RNR_RETRY_EXC_ERR;
    }
    ibv_wc done{};
    done.wr_id = places.front().addr;
    places.pop_front();
    done.opcode = IBV_WC_RECV_RDMA_WITH_IMM;
    done.wc_flags = IBV_WC_WITH_IMM;
    done.imm_data = immediate;
    done.byte_len = length;
    done.qp_num = to.qp_num;
    complete(*static_cast<Queue*>(to.recv_cq), done);
    return IBV_WC_SUCCESS;
}

ibv_wc_status FakeVerbs::carry_out(Pair& pair, const ibv_send_wr& wanted) {
    if (pair.state != IBV_QPS_RTS) return IBV_WC_WR_FLUSH_ERR;
    if (failing_ && failing_->what == wanted.opcode) {
        const ibv_wc_status status = failing_->status;
        failing_.reset();
        return status;
    }
    const std::string& device = static_cast<Context*>(pair.context)->name;
    if (const auto at = cut_after_.find(device); at != cut_after_.end() && at->second-- == 0) {
        cut_.insert(device);
        cut_after_.erase(at);
    }
    if (cut_.contains(device)) return IBV_WC_RETRY_EXC_ERR;
    const ibv_sge& from = *wanted.sg_list;
    const bool is_inline = (wanted.send_flags & IBV_SEND_INLINE) != 0;
    for (const ibv_sge& part : parts_of(wanted))
        if (!is_inline && !is_registered(part.lkey, part.addr, part.length, 0)) return IBV_WC_LOC_PROT_ERR;
    const auto at = pairs_.find(pair.peer);
    if (at == pairs_.end() || (at->second->state != IBV_QPS_RTR && at->second->state != IBV_QPS_RTS)) {
        lost++;
        return IBV_WC_RETRY_EXC_ERR;
    }
    const auto* const bytes = reinterpret_cast<const std::byte*>(static_cast<std::uintptr_t>(from.addr));
    if (wanted.opcode == IBV_WR_SEND) {
        const auto all = gathered(wanted);
        sends++;
        sent_bytes += all.size();
        return send(*at->second, all);
    }
    if (!is_registered(wanted.wr.rdma.rkey, wanted.wr.rdma.remote_addr, from.length, IBV_ACCESS_REMOTE_WRITE))
        return IBV_WC_REM_ACCESS_ERR;
    auto* const to = reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(wanted.wr.rdma.remote_addr));
    std::memcpy(to, bytes, from.length);
    writes.push_back({bytes, to, from.length, device, pair.qp_num});
    if (wanted.opcode != IBV_WR_RDMA_WRITE_WITH_IMM) return IBV_WC_SUCCESS;
    immediates++;
    return tell_immediate(*at->second, wanted.imm_data, from.length);
}

int FakeVerbs::post_send(ibv_qp* raw, ibv_send_wr* first, ibv_send_wr** refused_one) {
    auto& pair = *static_cast<Pair*>(raw);
    for (ibv_send_wr* w = first; w != nullptr; w = w->next) {
        *refused_one = w;
        if (refuses("post_send")) return errno;
        if (pair.state != IBV_QPS_RTS && pair.state != IBV_QPS_ERR) return EINVAL;
        if (w->num_sge > static_cast<int>(pair.room.max_send_sge)) return EINVAL;
        if ((w->send_flags & IBV_SEND_INLINE) != 0 && gathered(*w).size() > pair.room.max_inline_data) return EINVAL;
        if (pair.posted == pair.room.max_send_wr) return ENOMEM;
        pair.posted++;
        ibv_wc done{};
        done.wr_id = w->wr_id;
        done.qp_num = pair.qp_num;
        done.status = carry_out(pair, *w);
        if (done.status != IBV_WC_SUCCESS) pair.state = IBV_QPS_ERR;
        const bool tells = done.status != IBV_WC_SUCCESS || (w->send_flags & IBV_SEND_SIGNALED) != 0;
        auto& queue = *static_cast<Queue*>(pair.send_cq);
        if (bytes_per_poll.contains(static_cast<Context*>(pair.context)->name)) {
            done.opcode = tells ? IBV_WC_SEND : IBV_WC_DRIVER1;
            queue.late.emplace_back(done, w->sg_list->length);
        } else if (tells) {
            complete(queue, done);
        }
    }
    return 0;
}

int FakeVerbs::post_srq_recv(ibv_srq* queue, ibv_recv_wr* first, ibv_recv_wr** refused_one) {
    auto& shared = *static_cast<Shared*>(queue);
    for (ibv_recv_wr* w = first; w != nullptr; w = w->next) {
        *refused_one = w;
        if (refuses("post_srq_recv")) return errno;
        if (shared.places.size() == shared.most) return ENOMEM;
        if (!is_registered(w->sg_list->lkey, w->sg_list->addr, w->sg_list->length, IBV_ACCESS_LOCAL_WRITE))
            return EINVAL;
        shared.places.push_back(*w->sg_list);
    }
    return 0;
}

// What the device gets done until the next poll.
void FakeVerbs::work_on(Queue& queue) {
    const auto rate = bytes_per_poll.find(static_cast<Context*>(queue.context)->name);
    for (std::size_t left = rate == bytes_per_poll.end() ? 0 : rate->second; !queue.late.empty();) {
        auto& [done, bytes] = queue.late.front();
        const std::size_t now = std::min(left, bytes);
        bytes -= now;
        left -= now;
        if (bytes != 0) return;
        if (done.opcode == IBV_WC_SEND) complete(queue, done);
        queue.late.pop_front();
    }
}

int FakeVerbs::poll_cq(ibv_cq* raw, int most, ibv_wc* completions) {
    auto& queue = *static_cast<Queue*>(raw);
    polls++;
    work_on(queue);
    int count = 0;
    for (; count < most && !queue.done.empty(); count++) {
        completions[count] = queue.done.front();
        queue.done.pop_front();
        // What was sent before is done, too.
        if (completions[count].opcode == IBV_WC_RECV) continue;
        if (const auto at = pairs_.find(completions[count].qp_num); at != pairs_.end()) at->second->posted = 0;
    }
    return count;
}

int FakeVerbs::req_notify_cq(ibv_cq* queue) {
    static_cast<Queue*>(queue)->is_armed = true;
    return 0;
}
int FakeVerbs::take_cq_event(ibv_comp_channel* channel) {
    eventfd_t unused = 0;
    return eventfd_read(channel->fd, &unused);
}

// ---- what tests do ------------------------------------------------------------------------------------------------

void FakeVerbs::deliver(std::uint32_t pair_number, std::span<const std::byte> bytes) {
    send(*pairs_.at(pair_number), bytes);
}
void FakeVerbs::deliver_immediate(std::uint32_t pair_number, std::uint32_t immediate) {
    tell_immediate(*pairs_.at(pair_number), immediate, 0);
}
std::size_t FakeVerbs::bytes_written_by(const std::string& device) const {
    std::size_t sum = 0;
    for (const Write& write : writes) sum += write.device == device ? write.length : 0;
    return sum;
}
void FakeVerbs::report(ibv_event_type what, int port) {
    ibv_async_event event{};
    event.event_type = what;
    event.element.port_num = port;
    for (Context* const context : contexts_) context->report(event);
}
void FakeVerbs::report_of(const std::string& device, ibv_event_type what) {
    ibv_async_event event{};
    event.event_type = what;
    for (Context* const context : contexts_)
        if (context->name == device) context->report(event);
}
void FakeVerbs::report_of_pair(ibv_event_type what, std::uint32_t pair_number) {
    ibv_async_event event{};
    event.event_type = what;
    event.element.qp = pairs_.at(pair_number);
    static_cast<Context*>(event.element.qp->context)->report(event);
}
std::size_t FakeVerbs::reports_waiting() const {
    std::size_t count = 0;
    for (const Context* const context : contexts_) count += context->reports.size();
    return count;
}
void FakeVerbs::deliver_failed(std::uint32_t pair_number, ibv_wc_status status) {
    Pair& pair = *pairs_.at(pair_number);
    auto& places = static_cast<Shared*>(pair.srq)->places;
    ibv_wc done{};
    done.wr_id = places.front().addr;
    places.pop_front();
    done.opcode = IBV_WC_RECV;
    done.status = status;
    done.qp_num = pair_number;
    complete(*static_cast<Queue*>(pair.recv_cq), done);
}

}  // namespace tenon::rdma
