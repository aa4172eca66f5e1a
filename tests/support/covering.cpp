#include "tests/support/covering.hpp"

#include <algorithm>

namespace tenon::support {
namespace {

// The values of all dimensions in one numbering, and which pairs of them have not met yet.
class Pairs {
public:
    explicit Pairs(std::span<const int> sizes) {
        int values = 0;
        for (const int size : sizes) {
            first_.push_back(values);
            values += size;
        }
        values_ = static_cast<std::size_t>(values);
        open_.assign(values_ * values_, false);
        for (std::size_t a = 0; a < sizes.size(); a++)
            for (std::size_t b = a + 1; b < sizes.size(); b++)
                for (int i = 0; i < sizes[a]; i++)
                    for (int j = 0; j < sizes[b]; j++) open_[at(a, i, b, j)] = true;
    }

    bool is_open(std::size_t a, int i, std::size_t b, int j) const {
        return a < b ? open_[at(a, i, b, j)] : open_[at(b, j, a, i)];
    }
    void close(std::size_t a, int i, std::size_t b, int j) { open_[at(a, i, b, j)] = false; }
    void close_all_of(const CoveringRow& row) {
        for (std::size_t a = 0; a < row.size(); a++)
            for (std::size_t b = a + 1; b < row.size(); b++) close(a, row[a], b, row[b]);
    }
    // How many open pairs the value would close with what is set in the row.
    int gain(const CoveringRow& row, std::size_t dimension, int value) const {
        int open = 0;
        for (std::size_t d = 0; d < row.size(); d++)
            if (row[d] != unset && d != dimension && is_open(dimension, value, d, row[d])) open++;
        return open;
    }

private:
    std::size_t at(std::size_t a, int i, std::size_t b, int j) const {
        return static_cast<std::size_t>(first_[a] + i) * values_ + static_cast<std::size_t>(first_[b] + j);
    }
    std::vector<int> first_;
    std::size_t values_ = 0;
    std::vector<bool> open_;
};

class RowFiller {
public:
    RowFiller(std::span<const int> sizes, const std::function<bool(const CoveringRow&)>& allowed, const Pairs& pairs)
        : sizes_(sizes), allowed_(allowed), pairs_(pairs) {}

    // Completes the row, the values with the most gain first; false when no completion is allowed.
    bool fill(CoveringRow& row, std::size_t shift, std::size_t dimension = 0) const {
        if (dimension == sizes_.size()) return true;
        if (row[dimension] != unset) return fill(row, shift, dimension + 1);
        for (const int value : by_gain(row, dimension, shift)) {
            row[dimension] = value;
            if (allowed_(row) && fill(row, shift, dimension + 1)) return true;
        }
        row[dimension] = unset;
        return false;
    }

private:
    // Ties are broken in another order in each row, so that values without gain are used evenly.
    std::vector<int> by_gain(const CoveringRow& row, std::size_t dimension, std::size_t shift) const {
        const int size = sizes_[dimension];
        std::vector<std::pair<int, int>> ranked;  // loss, place
        for (int place = 0; place < size; place++)
            ranked.emplace_back(-pairs_.gain(row, dimension, value_at(place, shift, size)), place);
        std::ranges::sort(ranked);
        std::vector<int> values;
        for (const auto& [loss, place] : ranked) values.push_back(value_at(place, shift, size));
        return values;
    }

    static int value_at(int place, std::size_t shift, int size) {
        return static_cast<int>((static_cast<std::size_t>(place) + shift) % static_cast<std::size_t>(size));
    }

    std::span<const int> sizes_;
    const std::function<bool(const CoveringRow&)>& allowed_;
    const Pairs& pairs_;
};

}  // namespace

std::vector<CoveringRow> cover_pairs(std::span<const int> dimension_sizes,
                                     const std::function<bool(const CoveringRow&)>& allowed) {
    Pairs pairs(dimension_sizes);
    const RowFiller filler(dimension_sizes, allowed, pairs);
    std::vector<CoveringRow> rows;
    for (std::size_t a = 0; a < dimension_sizes.size(); a++)
        for (std::size_t b = a + 1; b < dimension_sizes.size(); b++)
            for (int i = 0; i < dimension_sizes[a]; i++)
                for (int j = 0; j < dimension_sizes[b]; j++) {
                    if (!pairs.is_open(a, i, b, j)) continue;
                    CoveringRow row(dimension_sizes.size(), unset);
                    row[a] = i;
                    row[b] = j;
                    if (allowed(row) && filler.fill(row, rows.size())) {
                        pairs.close_all_of(row);
                        rows.push_back(std::move(row));
                    } else {
                        pairs.close(a, i, b, j);
                    }
                }
    return rows;
}

}  // namespace tenon::support
