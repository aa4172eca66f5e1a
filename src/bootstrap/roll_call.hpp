// Who has come to a meeting, and whether they agree: the judgement, apart from the sockets. For one thread.
#pragma once

#include <string>
#include <vector>

#include "bootstrap/wire.hpp"

namespace tenon::bootstrap {

class RollCall {
public:
    // An error is a contradiction with the ranks that came before: it names both sides and what to do.
    Result<void> enter(const Hello& hello);

    bool begun() const { return !came_.empty(); }
    bool complete() const { return begun() && came_count_ == came_.size(); }
    const Agreement& agreement() const { return first_.agreement; }
    std::vector<Introduction>& ranks() { return ranks_; }
    std::vector<Rank> missing() const;

private:
    Result<void> check_agreement(const Hello& hello) const;
    Hello first_;  // all others must agree with it
    std::vector<Introduction> ranks_;
    std::vector<bool> came_;
    std::size_t came_count_ = 0;
};

// "rank 3", "ranks 3 and 5", "ranks 0, 1, 2 ... and 984 more".
std::string name_ranks(const std::vector<Rank>& ranks);

}  // namespace tenon::bootstrap
