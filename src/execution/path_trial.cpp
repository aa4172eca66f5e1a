#include "execution/path_trial.hpp"

#include <fmt/format.h>

namespace tenon {
namespace {

std::string words(const Path& path) {
    return fmt::format("{}{}", path.kernel_copies ? "copied by the kernel" : path.streaming_slots ? "staged past the caches" : "staged",
                       path.streaming_stores ? ", stored past the caches" : "");
}

}  // namespace

std::string PathTrial::explanation() const {
    std::string all = fmt::format("{} ({:.2f} us per 64 KiB)", words(paths_[best_]), static_cast<double>(median_[best_]) / 1e3);
    for (std::size_t i = 0; i < count_; i++)
        if (i != best_) all += fmt::format("; {} {:.2f}", words(paths_[i]), static_cast<double>(median_[i]) / 1e3);
    return all;
}

}  // namespace tenon
