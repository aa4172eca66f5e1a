// Turns the bytes that a rank writes into whole lines, each with the rank before it, so that the output of several
// ranks can share one terminal without mixing within a line.
//
// A value without system calls: bytes in, bytes out. A line that is longer than `max_line_bytes` is passed on in parts
// instead of being held, so that memory is bounded.
#pragma once

#include <string>
#include <string_view>

namespace tenon {

class LinePrefixer {
public:
    static constexpr std::size_t max_line_bytes = 64 * 1024;

    explicit LinePrefixer(std::string prefix) : prefix_(std::move(prefix)) {}

    // What can be shown now that `bytes` have come: complete lines.
    std::string add(std::string_view bytes);
    // What is left when the writer has ended: an unfinished line, with the newline that it lacks.
    std::string finish();

private:
    void begin_line(std::string& shown);

    std::string prefix_;
    std::string unfinished_;
    bool within_long_line_ = false;
};

}  // namespace tenon
