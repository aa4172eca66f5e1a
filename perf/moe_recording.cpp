#include "perf/moe_recording.hpp"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <sstream>

namespace tenon::perf {
namespace {

constexpr std::string_view first_words = "tenon-moe-routing 1";
constexpr std::uint32_t most_ranks = 1 << 16, most_experts = 1 << 20, most_top_k = 64;

using Problem = std::string;  // empty: none

// The words of one line, taken one after another.
class Words {
public:
    explicit Words(std::string_view line) : rest_(line) { skip_blanks(); }
    bool at_end() const { return rest_.empty(); }
    std::string_view next() {
        const std::string_view word = rest_.substr(0, rest_.find_first_of(" \t"));
        rest_.remove_prefix(word.size());
        skip_blanks();
        return word;
    }

private:
    void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r"), rest_.size())); }
    std::string_view rest_;
};

// What a message shows of a word, which may be anything.
std::string shown(std::string_view word) {
    std::string text;
    for (const char c : word.substr(0, 20)) text += c >= ' ' && c <= '~' ? c : '?';
    return "'" + text + (word.size() > 20 ? "...'" : "'");
}

std::expected<std::int64_t, Problem> number(std::string_view word, std::string_view what, std::int64_t first,
                                            std::int64_t last) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size() || value < first || value > last)
        return std::unexpected(
            fmt::format("{} is {}; it must be a number in [{}, {}]", what, shown(word), first, last));
    return value;
}

// "ranks 4 experts 384 top_k 6"
Problem read_shape(Words& words, MoeRecording& made) {
    struct Field {
        std::string_view name;
        std::uint32_t& value;
        std::uint32_t most;
    };
    for (const Field& field : {Field{"ranks", made.ranks, most_ranks}, Field{"experts", made.experts, most_experts},
                               Field{"top_k", made.top_k, most_top_k}}) {
        if (const std::string_view word = words.next(); word != field.name)
            return fmt::format("found {} where '{}' must be: the line is 'ranks N experts N top_k N'", shown(word),
                               field.name);
        const auto value = number(words.next(), field.name, 1, field.most);
        if (!value) return value.error();
        field.value = static_cast<std::uint32_t>(*value);
    }
    if (!words.at_end()) return fmt::format("found {} behind top_k's number", shown(words.next()));
    made.choices.resize(made.ranks);
    return {};
}

// A token: its rank, and top_k experts or -1.
Problem read_token(Words& words, MoeRecording& made) {
    const auto rank = number(words.next(), "the rank", 0, std::int64_t{made.ranks} - 1);
    if (!rank) return rank.error();
    std::vector<std::int64_t>& choices = made.choices[static_cast<std::size_t>(*rank)];
    for (std::uint32_t slot = 0; slot < made.top_k; slot++) {
        if (words.at_end()) return fmt::format("has {} experts; it must have {}, top_k", slot, made.top_k);
        const auto expert = number(words.next(), fmt::format("the expert in slot {}", slot), -1,
                                   std::int64_t{made.experts} - 1);
        if (!expert) return expert.error();
        choices.push_back(*expert);
    }
    if (!words.at_end()) return fmt::format("has more than {} experts, top_k", made.top_k);
    return {};
}

}  // namespace

std::expected<MoeRecording, std::string> parse_moe_recording(std::string_view text) {
    MoeRecording made;
    bool has_begun = false;
    const auto wrong = [](std::size_t line, const Problem& problem) {
        return std::unexpected(fmt::format("line {}: {}", line, problem));
    };
    std::size_t line_number = 0;
    while (!text.empty()) {
        line_number++;
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        Words words(line.substr(0, line.find('#')));
        if (!has_begun) {
            if (line != first_words) return wrong(line_number, fmt::format("is not '{}'", first_words));
            has_begun = true;
            continue;
        }
        if (words.at_end()) continue;
        if (const Problem problem = made.ranks == 0 ? read_shape(words, made) : read_token(words, made);
            !problem.empty())
            return wrong(line_number, problem);
    }
    if (made.ranks == 0) return wrong(line_number + 1, "the file ends before 'ranks N experts N top_k N'");
    return made;
}

std::expected<MoeRecording, std::string> read_moe_recording(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf()).good())
        return std::unexpected(fmt::format("cannot read the routing {}", path));
    auto made = parse_moe_recording(text.view());
    if (!made) return std::unexpected(path + ", " + made.error());
    return made;
}

}  // namespace tenon::perf
