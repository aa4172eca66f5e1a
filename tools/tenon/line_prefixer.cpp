#include "tools/tenon/line_prefixer.hpp"

namespace tenon {

void LinePrefixer::begin_line(std::string& shown) {
    if (!within_long_line_) shown += prefix_;
    within_long_line_ = false;
    shown += unfinished_;
    unfinished_.clear();
}

std::string LinePrefixer::add(std::string_view bytes) {
    std::string shown;
    for (std::size_t end = bytes.find('\n'); end != std::string_view::npos; end = bytes.find('\n')) {
        begin_line(shown);
        shown += bytes.substr(0, end + 1);
        bytes.remove_prefix(end + 1);
    }
    unfinished_ += bytes;
    if (unfinished_.size() >= max_line_bytes) {
        begin_line(shown);
        within_long_line_ = true;
    }
    return shown;
}

std::string LinePrefixer::finish() {
    std::string shown;
    if (unfinished_.empty() && !within_long_line_) return shown;
    begin_line(shown);
    return shown + '\n';
}

}  // namespace tenon
