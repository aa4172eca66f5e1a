#include "execution/path_trial.hpp"

#include <fmt/format.h>

namespace tenon {
namespace {

std::string words(const Path& path) {
    return fmt::format("{}{}",
                       path.kernel_copies     ? "copied by the kernel"
                       : path.streaming_slots ? "staged past the caches"
                                              : "staged",
                       path.streaming_stores ? ", stored past the caches" : "");
}

}  // namespace

std::string PathTrial::explanation() const {
    std::string all = words(best_) + " is quickest; us per 64 KiB:";
    for (std::size_t i = 0; i < count_; i++)
        all += fmt::format("{} {} {:.2f}", i == 0 ? "" : ";", words(paths_[i]), static_cast<double>(median_[i]) / 1e3);
    return all;
}

}  // namespace tenon
