#include "execution/side_by_side.hpp"

namespace tenon {

void SideBySide::set(Work* first, Work* second) {
    under_way_ = {first, second};
    for (Work* work : under_way_)
        if (work != nullptr) work->heed(heeded());
}

Progress SideBySide::advance() {
    moved_ = sent_ = false;
    for (Work*& work : under_way_) {
        if (work == nullptr) continue;
        const Progress progress = work->advance();
        moved_ |= work->moved();
        sent_ |= work->sent();
        if (progress == Progress::failed) {
            error_ = work->error();
            return Progress::failed;
        }
        if (progress == Progress::done) work = nullptr;
    }
    return first_under_way() == nullptr ? Progress::done : Progress::blocked;
}

Rank SideBySide::awaited_peer() const {
    for (const Work* work : under_way_)
        if (work != nullptr && work->awaited_peer() != no_rank) return work->awaited_peer();
    return no_rank;
}

std::string SideBySide::step_in_words() const {
    const Work* work = first_under_way();
    return work != nullptr ? work->step_in_words() : "its last step";
}

std::optional<Work::Contradiction> SideBySide::contradiction() const {
    for (const Work* work : under_way_)
        if (work != nullptr)
            if (auto found = work->contradiction()) return found;
    return std::nullopt;
}

}  // namespace tenon
