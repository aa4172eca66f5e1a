#include "bootstrap/roll_call.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tenon::bootstrap {
namespace {

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

std::string RollCall::place_of(pid_t process, const std::string& host) const {
    return names_hosts_ ? fmt::format("process {} on {}", process, host) : fmt::format("process {}", process);
}

std::string RollCall::name_of(const Introduction& who, const std::string& host) const {
    return fmt::format("rank {} ({})", who.rank, place_of(who.process, host));
}

std::unexpected<Error> RollCall::disagree(const std::string& says, const HostHello& other,
                                          const std::string& other_says, std::string_view advice) const {
    const HostHello& first = hosts_.front();
    return fail(Status::mismatch, fmt::format("{} {}, {} {}: {}", name_of(first.first.who, first.name), says,
                                              name_of(other.first.who, other.name), other_says, advice));
}

Result<void> RollCall::check_agreement(const HostHello& newcomer) const {
    const Hello& first_hello = hosts_.front().first;
    const Agreement &first = first_hello.agreement, &own = newcomer.first.agreement;
    if (own.rank_count != first.rank_count)
        return disagree(fmt::format("says that the job has {} ranks", first.rank_count), newcomer,
                        fmt::format("says {}", own.rank_count), "give all the same number of ranks");
    if (own.build != first.build)
        return disagree("runs Tenon " + first.build, newcomer, "runs " + own.build,
                        "use one build of Tenon in all processes of the job");
    if (newcomer.first.texts != first_hello.texts) {
        const std::string firsts = line_not_in(first.configuration, own.configuration);
        const std::string owns = line_not_in(own.configuration, first.configuration);
        if (firsts.empty() && owns.empty())
            return disagree("is configured in one way", newcomer, "in another",
                            "give all ranks the same settings and the same files");
        return disagree(says_of(firsts), newcomer, says_of(owns), "give all ranks the same settings");
    }
    if (own.segment != first.segment)
        return disagree(fmt::format("needs a shared segment of {} bytes", first.segment.value), newcomer,
                        fmt::format("one of {}", own.segment.value), "give all ranks the same settings");
    return {};
}

Result<void> RollCall::check_size(const Hello& hello, const std::string& host) const {
    const Rank rank = hello.who.rank, rank_count = hello.agreement.rank_count;
    if (rank_count < 1 || rank_count > rank_count_limit)
        return fail(Status::invalid_argument, fmt::format("{} says that the job has {} ranks: 1 to {} are possible",
                                                          name_of(hello.who, host), rank_count, rank_count_limit));
    if (rank < 0 || rank >= rank_count)
        return fail(Status::invalid_argument, fmt::format("{} is out of range: a job of {} ranks has ranks 0 to {}",
                                                          name_of(hello.who, host), rank_count, rank_count - 1));
    return {};
}

Result<void> RollCall::enter_host(const HostHello& host) {
    if (auto sane = check_size(host.first, host.name); !sane) return sane;
    if (begun()) {
        if (auto agreed = check_agreement(host); !agreed) return agreed;
    } else {
        ranks_.resize(static_cast<std::size_t>(host.first.agreement.rank_count));
        came_.resize(ranks_.size());
    }
    if (!host_at_.emplace(host.node, static_cast<std::int32_t>(hosts_.size())).second)
        return fail(Status::internal_error, fmt::format("{} came to the rendezvous twice", host.name));
    hosts_.push_back(host);
    for (const Note& note : notes_of(host.node, host.first)) enter(note);
    return {};
}

std::vector<Note> notes_of(const NodeToken& node, const Hello& hello) {
    std::vector<Note> notes{{NoteKind::preferences, node, hello.who, hello.agreement.preferences}};
    if (!hello.obstacle.empty()) notes.push_back({NoteKind::obstacle, node, hello.who, hello.obstacle});
    return notes;
}

// One obstacle is enough, and of very many different preferences the first few.
bool RollCall::enter(const Note& note) {
    if (!host_at_.contains(note.node)) return false;
    if (note.kind == NoteKind::obstacle) {
        if (obstacle_) return false;
        obstacle_ = note;
        return true;
    }
    return preferences_.size() < preferences_limit && preferences_.emplace(note.who.preferences, note.text).second;
}

Result<void> RollCall::check_networks() const {
    if (!obstacle_) return {};
    const std::string& host = hosts_[static_cast<std::size_t>(host_at_.at(obstacle_->node))].name;
    return fail(Status::system_error,
                fmt::format("{} cannot use the network: {}", name_of(obstacle_->who, host), obstacle_->text));
}

Result<void> RollCall::enter(const NodeToken& node, const std::string& host, const Hello& hello) {
    if (!host_at_.contains(node)) {
        if (auto entered = enter_host({node, host, hello}); !entered) return entered;
    } else {
        if (auto sane = check_size(hello, host); !sane) return sane;
        if (auto agreed = check_agreement({node, host, hello}); !agreed) return agreed;
    }
    return enter(node, hello.who);
}

Result<void> RollCall::enter(const NodeToken& node, const Introduction& who) {
    const auto at = host_at_.find(node);
    const auto index = static_cast<std::size_t>(who.rank);
    if (at == host_at_.end() || who.rank < 0 || index >= came_.size())
        return fail(Status::internal_error, "the rendezvous was told of a rank that cannot be");
    const auto name_at = [&](std::int32_t host) { return hosts_[static_cast<std::size_t>(host)].name; };
    if (came_[index])
        return fail(Status::mismatch,
                    fmt::format("rank {} came twice, from {} and from {}: give each rank its own number", who.rank,
                                place_of(ranks_[index].process, name_at(ranks_[index].host)),
                                place_of(who.process, name_at(at->second))));
    came_[index] = true;
    came_count_++;
    ranks_[index] = who;
    ranks_[index].host = at->second;
    return {};
}

bool RollCall::came(Rank rank) const {
    return rank >= 0 && static_cast<std::size_t>(rank) < came_.size() && came_[static_cast<std::size_t>(rank)];
}

std::vector<Rank> RollCall::missing() const {
    std::vector<Rank> absent;
    for (std::size_t rank = 0; rank < came_.size(); rank++)
        if (!came_[rank]) absent.push_back(static_cast<Rank>(rank));
    return absent;
}

Table RollCall::table(const os::Secret& key) const {
    Table table{key, {}, ranks_, preferences_};
    std::vector<std::int32_t> number_of(hosts_.size(), -1);
    for (Introduction& who : table.ranks) {
        const auto came_as = static_cast<std::size_t>(who.host);
        if (number_of[came_as] < 0) {
            number_of[came_as] = static_cast<std::int32_t>(table.hosts.size());
            table.hosts.push_back({hosts_[came_as].node, hosts_[came_as].name, hosts_[came_as].network});
        }
        who.host = number_of[came_as];
    }
    return table;
}

}  // namespace tenon::bootstrap
