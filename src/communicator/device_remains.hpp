// What other ranks may still have of this rank's device when its communicator has ended: memory and notifies, which
// they must give back first. Nobody waits long for them: what they have not given back within a moment is kept, and
// closed when a communicator of devices next ends or is made in this process.
#pragma once

#include <functional>
#include <memory>

#include "communicator/device_stream.hpp"
#include "device_execution/device_links.hpp"

namespace tenon {

struct DeviceRemains {
    std::shared_ptr<OpenDevice> device;
    std::unique_ptr<DeviceLinks> links;
    std::function<bool()> all_have_left;
    std::function<void()> tell_others;  // who of this host has left, before this process may end
};

// Closes it once all have left; waits for that up to a second if `others_are_elsewhere`, in other processes, which end
// theirs beside this one.
void close_when_left(DeviceRemains remains, bool others_are_elsewhere);
void close_what_is_left();

}  // namespace tenon
