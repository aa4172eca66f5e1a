// What the C API's handles are, and how errors of the inside become results at its border.
//
// A communicator's handle is never freed: after destruction it stays as a small tombstone, so that a call on it is
// refused and does not touch freed memory. Streams and events, of which a program may make one per call, are freed:
// they may not be used after their destroy call.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "communicator/batch.hpp"
#include "communicator/communicator.hpp"
#include "communicator/stream.hpp"
#include "tenon/tenon.h"

namespace tenon::c_api {

inline constexpr std::uint64_t alive = 0x7e40'c033'a11f'e000, dead = 0x7e40'c033'dead'0000;

// A pre-multiplied sum of a communicator, by its number from tenonNumOps on.
struct ScaledSum {
    bool valid = false;
    DataType type = DataType::int8;
    std::byte factor[8] = {};
};

// What a handle of tenonCommRegister points to.
struct Registration {
    std::span<std::byte> range;
};

}  // namespace tenon::c_api

struct tenonComm {
    std::atomic<std::uint64_t> state{tenon::c_api::alive};
    std::atomic<bool> in_call{false};  // the thread that makes its calls is inside; a stream's holds a turn
    std::unique_ptr<tenon::Communicator> communicator;
    tenon::Rank rank = 0;  // of the communicator, also when that is gone
    std::vector<std::unique_ptr<tenon::c_api::ScaledSum>> scaled_sums;
    std::mutex registrations_mutex;
    std::vector<std::unique_ptr<tenon::c_api::Registration>> registrations;
    std::mutex error_mutex;
    std::string last_error;
    bool finalized = false;
};

// Of one of two kinds.
struct tenonStream {
    std::uint64_t state = tenon::c_api::alive;
    std::unique_ptr<tenon::HostStream> host;
    std::shared_ptr<tenon::DeviceStream> device;
};

struct tenonDevice {
    std::uint64_t state = tenon::c_api::alive;
    std::shared_ptr<tenon::OpenDevice> device;
    std::mutex mutex;
    std::vector<std::unique_ptr<tenon::device::Memory>> allocated;
};

struct tenonEvent {
    std::uint64_t state = tenon::c_api::alive;
    tenon::Event event;
};

namespace tenon::c_api {

// Whether this process has opened a device, and so may have pointers to its memory.
extern std::atomic<bool> has_devices;

inline tenonResult_t result_of(Status status) { return static_cast<tenonResult_t>(status); }

// Keeps the message for tenonGetLastError, of this thread and, where there is one, of the communicator.
tenonResult_t report(const Error& error, tenonComm* comm = nullptr);
tenonResult_t report(Status status, std::string message, tenonComm* comm = nullptr);
const std::string& last_error_of_thread();

inline bool is_alive(const tenonComm* comm) {
    return comm != nullptr && comm->state.load(std::memory_order_relaxed) == alive;
}
tenonResult_t refuse_handle(const tenonComm* comm, const char* function);
// A call on a communicator that lives: "rank 3: tenonSend: not a stream".
tenonResult_t refuse(tenonComm* comm, const char* function, std::string_view what,
                     Status status = Status::invalid_argument);

// Marks that a thread is inside, for tenonCommAbort on another thread, which ends the handle, then waits for the mark
// to go (fence_all_threads is the other half of the order). Mark first, then look whether the handle is alive.
class Inside {
public:
    explicit Inside(tenonComm& comm) : comm_(comm) { enter(comm); }
    ~Inside() { leave(comm_); }
    static void enter(tenonComm& comm) {
        comm.in_call.store(true, std::memory_order_relaxed);
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }
    static void leave(tenonComm& comm) { comm.in_call.store(false, std::memory_order_release); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

private:
    tenonComm& comm_;
};

// Keeps what devices' runtimes have as this thread's device, while the library uses others. Costs nothing where no
// device is open.
class KeepsDevices {
public:
    KeepsDevices() {
        if (has_devices.load(std::memory_order_relaxed)) remember();
    }
    ~KeepsDevices() {
        if (!before_.empty()) restore();
    }
    KeepsDevices(const KeepsDevices&) = delete;
    KeepsDevices& operator=(const KeepsDevices&) = delete;

private:
    void remember();
    void restore() const;
    std::vector<std::pair<device::Provider*, void*>> before_;
};

// Takes ownership; the handle lives for ever.
tenonComm* make_handle(std::unique_ptr<Communicator> communicator);

// What the exception being handled means. It may have come in the middle of a call, so it ends the communicator, if
// any.
tenonResult_t report_exception(tenonComm* comm);

// Runs a function of the inside; nothing it throws crosses the border.
template <class F>
tenonResult_t guarded(tenonComm* comm, F&& body) {
    const KeepsDevices kept;
    try {
        return body();
    } catch (const std::exception&) {
        return report_exception(comm);
    }
}

// The configuration of the environment, read at each initialisation.
Result<Config> configuration(const tenonConfig_t* given);

// Groups: the calls of this thread between tenonGroupStart and tenonGroupEnd.
extern thread_local int group_depth __attribute__((tls_model("initial-exec")));  // every call looks at it
inline bool in_group() { return group_depth != 0; }
// A call was wrong, and `why`, which is returned. If the thread is in a group, nothing of that will be issued.
tenonResult_t refused(tenonResult_t why);
tenonResult_t add_to_group(tenonComm* comm, const Call& call, tenonStream_t stream);
// As a group of one would. `device`: its stream, where the call runs on one.
tenonResult_t issue_alone(tenonComm* comm, const Call& call, tenonStream_t stream,
                          const std::shared_ptr<DeviceStream>& device = {});

// What makes a communicator, inside a group: done when the group ends, before its calls, for all ranks of the thread at
// once, each in a thread of its own. What is made from one communicator is made in order; null: from none.
void add_to_group(tenonComm* from, std::function<tenonResult_t()> make);

// Devices: on which stream of a device the call runs; null: on none, but on the host. `stream` may be NULL, then where
// the buffers are decides. An error where they are not where the stream is, or of a device that the communicator has
// not.
Result<std::shared_ptr<DeviceStream>> device_stream_of(tenonComm& comm, const Call& call, tenonStream_t stream);
// In which device's memory one of these lies ("cuda:0"), of those that this process has opened; "" if in none.
std::string device_with_any_of(std::initializer_list<const void*> buffers);
// The device that a configuration names; null where it names none.
Result<std::shared_ptr<OpenDevice>> device_of(const tenonConfig_t* config);

// The way of every communication call.
tenonResult_t submit(tenonComm* comm, const Call& call, tenonStream_t stream, const char* function);

}  // namespace tenon::c_api
