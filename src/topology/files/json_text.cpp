#include "topology/files/json_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace tenon::topology_files {
namespace {

using Json = nlohmann::json;

// Goes through the text token by token: brackets, texts, commas, colons, and runs of whatever else there is.
class Scan {
public:
    explicit Scan(std::string_view bytes) : bytes_(bytes) { skip_blanks(); }

    bool is_at_end() const { return at_ >= bytes_.size(); }
    char next() const { return is_at_end() ? '\0' : bytes_[at_]; }
    std::size_t line() const { return 1 + static_cast<std::size_t>(std::ranges::count(bytes_.substr(0, at_), '\n')); }

    // The token, as it is written; what follows it is next.
    std::string_view take() {
        const std::size_t start = at_;
        if (next() == '"')
            skip_text();
        else if (is_mark(next()))
            at_++;
        else
            while (!is_at_end() && !is_mark(next()) && next() != '"' && !is_blank(next()) && next() != '/') at_++;
        if (at_ == start && !is_at_end()) at_++;  // a slash that begins no comment
        const std::string_view token = bytes_.substr(start, at_ - start);
        skip_blanks();
        return token;
    }

    void skip_value() {
        std::size_t depth = 0;
        do {
            const char first = next();
            take();
            if (first == '[' || first == '{') depth++;
            if ((first == ']' || first == '}') && depth > 0) depth--;
        } while (depth > 0 && !is_at_end());
    }

private:
    static bool is_mark(char c) { return std::string_view{"[]{},:"}.contains(c); }
    static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

    void skip_text() {
        for (at_++; !is_at_end() && next() != '"'; at_++)
            if (next() == '\\') at_++;
        at_ = std::min(at_ + 1, bytes_.size());
    }

    void skip_blanks() {
        constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
        if (at_ == 0 && bytes_.starts_with(byte_order_mark)) at_ = byte_order_mark.size();
        while (!is_at_end()) {
            const std::string_view rest = bytes_.substr(at_);
            if (is_blank(next()))
                at_++;
            else if (rest.starts_with("//"))
                at_ += std::min(rest.find('\n'), rest.size());
            else if (rest.starts_with("/*"))
                at_ += std::min(rest.find("*/", 2), rest.size() - 2) + 2;
            else
                return;
        }
    }

    std::string_view bytes_;
    std::size_t at_ = 0;
};

std::string text_of(std::string_view token) {
    if (!token.contains('\\')) return std::string(token.substr(1, token.size() - 2));
    const Json text = Json::parse(token, nullptr, false);
    return text.is_string() ? text.get<std::string>() : std::string{};
}

std::string unescaped(std::string_view pointer_token) {
    std::string key;
    for (std::size_t at = 0; at < pointer_token.size(); at++)
        if (pointer_token[at] == '~')
            key += pointer_token.substr(++at, 1) == "1" ? '/' : '~';
        else
            key += pointer_token[at];
    return key;
}

// From before an object or an array to its member or element, if it has that.
bool enter(Scan& scan, const std::string& wanted) {
    const bool is_object = scan.next() == '{';
    if (!is_object && scan.next() != '[') return false;
    scan.take();
    for (std::size_t index = 0; !scan.is_at_end() && scan.next() != '}' && scan.next() != ']'; index++) {
        std::string name = std::to_string(index);
        if (is_object) {
            name = text_of(scan.take());
            scan.take();  // the colon
        }
        if (name == wanted) return true;
        scan.skip_value();
        if (scan.next() == ',') scan.take();
    }
    return false;
}

}  // namespace

std::optional<std::size_t> line_deeper_than(std::string_view bytes, std::size_t most) {
    std::size_t depth = 0;
    for (Scan scan{bytes}; !scan.is_at_end(); scan.take()) {
        const char first = scan.next();
        if ((first == '[' || first == '{') && ++depth > most) return scan.line();
        if ((first == ']' || first == '}') && depth > 0) depth--;
    }
    return std::nullopt;
}

std::size_t line_of_element(std::string_view bytes, std::string_view pointer) {
    Scan scan{bytes};
    std::size_t line = scan.line();
    while (pointer.starts_with('/')) {
        pointer.remove_prefix(1);
        const std::string_view token = pointer.substr(0, pointer.find('/'));
        pointer.remove_prefix(token.size());
        if (!enter(scan, unescaped(token))) break;
        line = scan.line();
    }
    return line;
}

std::size_t line_of_key(std::string_view bytes, std::size_t ordinal) {
    Scan scan{bytes};
    while (!scan.is_at_end()) {
        const bool may_be_key = scan.next() == '"';
        const std::size_t line = may_be_key && ordinal == 0 ? scan.line() : 0;
        scan.take();
        if (!may_be_key || scan.next() != ':') continue;
        if (ordinal == 0) return line;
        ordinal--;
    }
    return scan.line();
}

}  // namespace tenon::topology_files
