// Who has come to a meeting, and whether they agree: the judgement, apart from the sockets. For one thread.
//
// A host comes first, with what all of its ranks say alike; then its ranks.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bootstrap/wire.hpp"

namespace tenon::bootstrap {

class RollCall {
public:
    // An error is a contradiction with the ranks that came before: it names both sides and what to do.
    Result<void> enter_host(const HostHello& host);
    Result<void> enter(const NodeToken& node, const Introduction& who);
    // A rank, and its host if that is new, of which it must say the same.
    Result<void> enter(const NodeToken& node, const std::string& host, const Hello& hello);
    // False when it says nothing new, or of nobody who is known.
    bool enter(const Note& note);

    // Processes are then named with their hosts, also where there is only one so far.
    void name_hosts() { names_hosts_ = true; }
    bool begun() const { return !hosts_.empty(); }
    bool complete() const { return begun() && came_count_ == came_.size(); }
    const Agreement& agreement() const { return hosts_.front().first.agreement; }
    bool came(Rank rank) const;
    std::vector<Rank> missing() const;
    // Once complete: all ranks, and the hosts that have any, in the order of their lowest ranks.
    Table table(const os::Secret& key) const;
    // An error where some rank has said that it cannot use the network.
    Result<void> check_networks() const;

private:
    Result<void> check_size(const Hello& hello, const std::string& host) const;
    Result<void> check_agreement(const HostHello& newcomer) const;
    std::string name_of(const Introduction& who, const std::string& host) const;
    std::string place_of(pid_t process, const std::string& host) const;
    std::unexpected<Error> disagree(const std::string& says, const HostHello& other, const std::string& other_says,
                                    std::string_view advice) const;

    bool names_hosts_ = false;
    std::vector<HostHello> hosts_;  // all must agree with the first
    std::map<NodeToken, std::int32_t> host_at_;
    std::vector<Introduction> ranks_;  // their hosts in the order in which these came
    std::vector<bool> came_;
    std::size_t came_count_ = 0;
    std::map<std::uint64_t, std::string> preferences_;
    std::optional<Note> obstacle_;
};

// What a hello says that neither its row nor the agreement holds.
std::vector<Note> notes_of(const NodeToken& node, const Hello& hello);

// "rank 3", "ranks 3 and 5", "ranks 0, 1, 2 ... and 984 more".
std::string name_ranks(const std::vector<Rank>& ranks);

}  // namespace tenon::bootstrap
