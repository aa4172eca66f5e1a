// Two pieces of Work of one call, carried out side by side by one thread: done when both are, failed when one has. They
// share no peer, so that each has the connections of its peers for itself, and no memory that one of them writes.
#pragma once

#include <array>

#include "execution/work.hpp"

namespace tenon {

class SideBySide final : public Work {
public:
    // Either may be null; both stay until the work is done.
    void set(Work* first, Work* second);
    Progress advance() override;
    Rank awaited_peer() const override;
    std::string step_in_words() const override;
    std::optional<Contradiction> contradiction() const override;

private:
    const Work* first_under_way() const { return under_way_[0] != nullptr ? under_way_[0] : under_way_[1]; }

    std::array<Work*, 2> under_way_ = {};  // null when it is done
};

}  // namespace tenon
