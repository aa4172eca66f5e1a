#include "tests/support/emulated_acl/state.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace tenon::support::acl {
namespace {

constexpr std::size_t key_bytes = 24;  // of a key of the emulated machine; the rest is empty
thread_local std::weak_ptr<AclContext> current_context;

constexpr device::Link between_dies{device::LinkClass::package, 210'000'000'000, 200};
constexpr device::Link within_server{device::LinkClass::server, 170'000'000'000, 700};
constexpr device::Link between_servers{device::LinkClass::supernode, 150'000'000'000, 2'100};

emulated::MachineDescription description_of(const AclShape& shape) {
    const std::uint32_t count = shape.servers * shape.devices_per_server;
    auto made = emulated::MachineDescription::uniform(count, within_server);
    made.memory = {shape.memory_bytes};
    made.notify_limit = shape.notify_limit;
    for (std::uint32_t from = 0; from < count; from++) {
        made.server_of[from] = from / shape.devices_per_server;
        for (std::uint32_t to = 0; to < count; to++) {
            device::Link& link = made.links[from * count + to];
            if (made.server_of[from] != to / shape.devices_per_server)
                link = between_servers;
            else if (from != to && from / 2 == to / 2)
                link = between_dies;
        }
    }
    return made;
}

int create(const AclShape* shape) {
    const auto machine = emulated::Machine::create(description_of(*shape));
    return machine ? dup((*machine)->file().number()) : -1;
}

bool use(int file, std::uint32_t server) {
    State& state = State::get();
    state.forget_all();
    const auto machine = emulated::Machine::attach(os::FileDescriptor{dup(file)});
    if (!machine) return false;
    const std::scoped_lock held{state.mutex};
    state.machine = *machine;
    state.server = server;
    std::uint32_t same_server = 0;
    for (device::DeviceIndex to = 0; to < state.machine->device_count(); to++)
        if (state.machine->link(0, to).link_class != device::LinkClass::supernode) same_server++;
    state.devices_per_server = same_server;
    return true;
}

void usage(AclUsage* usage) {
    State& state = State::get();
    const std::scoped_lock held{state.mutex};
    const auto whole = state.machine->usage();
    *usage = {.allocations = whole.allocations,
              .shares = whole.shares,
              .imports = whole.imports,
              .notifies = whole.notifies,
              .contexts = state.contexts.size(),
              .streams = state.streams.size(),
              .events = state.events.size(),
              .notify_handles = state.notifies.size(),
              .physical_handles = state.physical.size(),
              .reservations = state.reservations.size()};
}

const char* misuse() {
    static std::string text;
    State& state = State::get();
    const std::scoped_lock held{state.mutex};
    text = fmt::format("{}", fmt::join(state.misuse, "\n"));
    return text.c_str();
}

void fault(const char* function, int code) {
    State& state = State::get();
    const std::scoped_lock held{state.mutex};
    if (code == 0)
        state.faults.erase(function);
    else
        state.faults[function] = code;
}

void fail_device(std::uint32_t device, std::uint64_t operations) {
    State& state = State::get();
    const std::scoped_lock held{state.mutex};
    state.machine->fail_after(state.whole_number(device), operations);
}

bool is_idle() {
    State& state = State::get();
    const std::scoped_lock held{state.mutex};
    return std::all_of(state.streams.begin(), state.streams.end(), [](const auto& entry) {
        const auto idle = entry.second->stream->idle();
        return idle.has_value() && *idle;
    });
}

constexpr AclControl control{.create = create,
                             .use = use,
                             .usage = usage,
                             .calls = [] { return State::get().calls.load(); },
                             .misuse = misuse,
                             .fault = fault,
                             .fail_device = fail_device,
                             .is_idle = is_idle};

}  // namespace

State& State::get() {
    static State& state = *new State;
    return state;
}

void State::forget_all() {
    Handles<AclStream> ending;
    {
        const std::scoped_lock held{mutex};
        std::swap(ending, streams);
        events.clear();
        notifies.clear();
        physical.clear();
        reservations.clear();
        allocations.clear();
        exported_memory.clear();
        imported_memory.clear();
        contexts.clear();
        misuse.clear();
        faults.clear();
        is_initialized = false;
    }
}

Call::Call(const char* function) : state_{State::get()}, function_{function}, held_{state_.mutex} {
    state_.calls++;
    if (const auto wanted = state_.faults.find(function); wanted != state_.faults.end()) {
        end_ = wanted->second;
        return;
    }
    constexpr Code uninitialized = 100001;
    const bool needs_a_machine = std::string_view{function} != "aclrtGetVersion";
    if (needs_a_machine && state_.machine == nullptr) {
        const AclShape usual;
        const os::FileDescriptor file{create(&usual)};
        use(file.number(), 0);
    }
    if (needs_a_machine && !state_.is_initialized && std::string_view{function} != "aclInit")
        end_ = misuse(uninitialized, "aclInit was not called");
}

Code Call::misuse(Code code, const std::string& why) const {
    const std::scoped_lock held{state_.mutex};
    state_.misuse.push_back(fmt::format("{}: {} ({})", function_, why, code));
    return code;
}

Code Call::code_of(const Error& error) const {
    switch (error.status) {
        case Status::aborted: return abi::stream_abort;
        case Status::timeout: return abi::stream_synchronize_timeout;
        case Status::invalid_argument:
        case Status::invalid_usage: return misuse(abi::invalid_parameter, error.message);
        default: return misuse(abi::scheduler_error, error.message);
    }
}

std::shared_ptr<AclContext> Call::context() const {
    auto current = current_context.lock();
    if (current == nullptr) misuse(abi::no_context, "this thread has no context: aclrtSetDevice gives it one");
    return current;
}

void make_current(const std::shared_ptr<AclContext>& context) { current_context = context; }

std::string text_of(const device::Key& key) {
    std::string text;
    for (std::size_t i = 0; i < key_bytes; i++) text += fmt::format("{:02x}", static_cast<unsigned>(key.bytes[i]));
    return text;
}

std::optional<device::Key> key_of(std::string_view text) {
    device::Key key;
    if (text.size() != 2 * key_bytes) return std::nullopt;
    for (std::size_t i = 0; i < key_bytes; i++) {
        unsigned byte = 0;
        const char* const at = text.data() + 2 * i;
        if (std::from_chars(at, at + 2, byte, 16).ptr != at + 2) return std::nullopt;
        key.bytes[i] = static_cast<std::byte>(byte);
    }
    return key;
}

Located locate(const State& state, const void* address, std::uint64_t bytes) {
    auto* at = static_cast<std::byte*>(const_cast<void*>(address));
    const auto after = state.reservations.upper_bound(at);
    if (after != state.reservations.begin()) {
        const auto& [begin, reservation] = *std::prev(after);
        const auto offset = static_cast<std::uint64_t>(at - begin);
        if (reservation.physical != nullptr && offset < reservation.physical->bytes &&
            bytes <= reservation.physical->bytes - offset)
            at = reservation.physical->address + offset;
    }
    return {at, state.machine->owner_of(at, bytes)};
}

}  // namespace tenon::support::acl

extern "C" [[gnu::visibility("default")]] const tenon::support::AclControl* emulatedAclControl() {
    return &tenon::support::acl::control;
}
