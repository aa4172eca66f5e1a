#include "bootstrap/roll_call.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tenon::bootstrap {
namespace {

std::string name_of(const Introduction& who) { return fmt::format("rank {} (process {})", who.rank, who.process); }

std::unexpected<Error> disagree(const Hello& one, const std::string& says, const Hello& other,
                                const std::string& other_says, std::string_view advice) {
    return fail(Status::mismatch,
                fmt::format("{} {}, {} {}: {}", name_of(one.who), says, name_of(other.who), other_says, advice));
}

// The text's first line that the other text lacks; nothing when it has them all.
std::string line_not_in(std::string_view text, std::string_view other) {
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        const bool is_there = ('\n' + std::string{other} + '\n').find(fmt::format("\n{}\n", line)) != std::string::npos;
        if (!is_there) return std::string{line};
    }
    return {};
}

std::string says_of(const std::string& line) { return line.empty() ? "does not have it" : "has " + line; }

}  // namespace

std::string name_ranks(const std::vector<Rank>& ranks) {
    constexpr std::size_t most_named = 16;
    if (ranks.size() == 1) return fmt::format("rank {}", ranks[0]);
    if (ranks.size() > most_named)
        return fmt::format("ranks {} ... and {} more", fmt::join(ranks.begin(), ranks.begin() + most_named, ", "),
                           ranks.size() - most_named);
    return fmt::format("ranks {} and {}", fmt::join(ranks.begin(), ranks.end() - 1, ", "), ranks.back());
}

Result<void> RollCall::check_agreement(const Hello& hello) const {
    const Agreement &first = first_.agreement, &own = hello.agreement;
    if (own.rank_count != first.rank_count)
        return disagree(first_, fmt::format("says that the job has {} ranks", first.rank_count), hello,
                        fmt::format("says {}", own.rank_count), "give all the same number of ranks");
    if (own.build != first.build)
        return disagree(first_, "runs Tenon " + first.build, hello, "runs " + own.build,
                        "use one build of Tenon in all processes of the job");
    if (hello.texts != first_.texts) {
        const std::string firsts = line_not_in(first.configuration, own.configuration);
        const std::string owns = line_not_in(own.configuration, first.configuration);
        if (firsts.empty() && owns.empty())
            return disagree(first_, "is configured in one way", hello, "in another",
                            "give all ranks the same settings and the same files");
        return disagree(first_, says_of(firsts), hello, says_of(owns), "give all ranks the same settings");
    }
    if (own.segment != first.segment)
        return disagree(first_, fmt::format("needs a shared segment of {} bytes", first.segment.value), hello,
                        fmt::format("one of {}", own.segment.value), "give all ranks the same settings");
    return {};
}

Result<void> RollCall::enter(const Hello& hello) {
    const Rank rank = hello.who.rank, rank_count = hello.agreement.rank_count;
    if (rank_count < 1 || rank_count > rank_count_limit)
        return fail(Status::invalid_argument, fmt::format("{} says that the job has {} ranks: 1 to {} are possible",
                                                          name_of(hello.who), rank_count, rank_count_limit));
    if (rank < 0 || rank >= rank_count)
        return fail(Status::invalid_argument, fmt::format("{} is out of range: a job of {} ranks has ranks 0 to {}",
                                                          name_of(hello.who), rank_count, rank_count - 1));
    if (!begun()) {
        first_ = hello;
        ranks_.resize(static_cast<std::size_t>(rank_count));
        came_.resize(static_cast<std::size_t>(rank_count));
    }
    if (auto agreed = check_agreement(hello); !agreed) return agreed;
    const auto index = static_cast<std::size_t>(rank);
    if (came_[index])
        return fail(
            Status::mismatch,
            fmt::format("rank {} came twice, from process {} and from process {}: give each rank its own number", rank,
                        ranks_[index].process, hello.who.process));
    came_[index] = true;
    came_count_++;
    ranks_[index] = hello.who;
    return {};
}

std::vector<Rank> RollCall::missing() const {
    std::vector<Rank> absent;
    for (std::size_t rank = 0; rank < came_.size(); rank++)
        if (!came_[rank]) absent.push_back(static_cast<Rank>(rank));
    return absent;
}

}  // namespace tenon::bootstrap
