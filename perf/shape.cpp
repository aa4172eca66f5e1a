#include "perf/shape.hpp"

#include <algorithm>
#include <numeric>

namespace tenon::perf {
namespace {

bool has_blocks_of_own_length(Collective collective) {
    return collective == Collective::all_to_all_v || collective == Collective::all_gather_v ||
           collective == Collective::reduce_scatter_v;
}

bool is_sized_by_one_buffer(Collective collective) {
    return collective == Collective::all_reduce || collective == Collective::broadcast ||
           collective == Collective::reduce || collective == Collective::send;
}

std::uint64_t block_of_own_length(std::uint64_t place, std::uint64_t mean) {
    constexpr std::uint64_t halves[4] = {1, 4, 2, 1};
    return mean * halves[place % 4] / 2;
}

std::uint64_t sum(const std::vector<std::size_t>& lengths) {
    return std::accumulate(lengths.begin(), lengths.end(), std::uint64_t{0});
}

std::vector<std::size_t> firsts(const std::vector<std::size_t>& lengths) {
    std::vector<std::size_t> result(lengths.size());
    std::exclusive_scan(lengths.begin(), lengths.end(), result.begin(), std::size_t{0});
    return result;
}

// all_gather and gather: block r of the output is rank r's input.
void gather_blocks(Shape& shape) {
    shape.input_length = shape.count;
    shape.output_length = shape.count * static_cast<std::uint64_t>(shape.rank_count);
    shape.input_first_in_place = shape.count * static_cast<std::uint64_t>(shape.rank);
    for (Rank from = 0; from < shape.rank_count; from++)
        shape.output.push_back({shape.count * static_cast<std::uint64_t>(from), shape.count, from, 0});
}

// reduce_scatter and scatter: the output is block `rank` of the input of all, or of the root.
void scatter_blocks(Shape& shape, Rank from) {
    const std::uint64_t first = shape.count * static_cast<std::uint64_t>(shape.rank);
    shape.input_length = shape.count * static_cast<std::uint64_t>(shape.rank_count);
    shape.output_length = shape.count;
    shape.output_first_in_place = first;
    shape.output.push_back({0, shape.count, from, first});
}

void all_to_all(Shape& shape) {
    const std::uint64_t own = shape.count * static_cast<std::uint64_t>(shape.rank);
    shape.input_length = shape.output_length = shape.count * static_cast<std::uint64_t>(shape.rank_count);
    for (Rank from = 0; from < shape.rank_count; from++)
        shape.output.push_back({shape.count * static_cast<std::uint64_t>(from), shape.count, from, own});
}

void all_to_all_v(Shape& shape) {
    const auto length = [&](Rank from, Rank to) {
        return block_of_own_length(static_cast<std::uint64_t>(from) * static_cast<std::uint64_t>(shape.rank_count) +
                                       static_cast<std::uint64_t>(to),
                                   shape.count);
    };
    for (Rank other = 0; other < shape.rank_count; other++) {
        shape.send_counts.push_back(length(shape.rank, other));
        shape.receive_counts.push_back(length(other, shape.rank));
    }
    shape.send_firsts = firsts(shape.send_counts);
    shape.receive_firsts = firsts(shape.receive_counts);
    shape.input_length = sum(shape.send_counts);
    shape.output_length = sum(shape.receive_counts);
    shape.can_be_in_place = false;
    for (Rank from = 0; from < shape.rank_count; from++) {
        std::uint64_t first = 0;
        for (Rank to = 0; to < shape.rank; to++) first += length(from, to);
        shape.output.push_back({shape.receive_firsts[static_cast<std::size_t>(from)],
                                shape.receive_counts[static_cast<std::size_t>(from)], from, first});
    }
}

// all_gather_v and reduce_scatter_v: block r has a length of its own, the same on every rank.
void agreed_blocks(Shape& shape, bool gathers) {
    for (Rank rank = 0; rank < shape.rank_count; rank++)
        shape.receive_counts.push_back(block_of_own_length(static_cast<std::uint64_t>(rank), shape.count));
    shape.receive_firsts = firsts(shape.receive_counts);
    const auto own = static_cast<std::size_t>(shape.rank);
    const std::uint64_t all = sum(shape.receive_counts), mine = shape.receive_counts[own],
                        first = shape.receive_firsts[own];
    shape.input_length = gathers ? mine : all;
    shape.output_length = gathers ? all : mine;
    (gathers ? shape.input_first_in_place : shape.output_first_in_place) = first;
    if (!gathers) shape.output.push_back({0, mine, everyone, first});
    for (Rank from = 0; gathers && from < shape.rank_count; from++)
        shape.output.push_back({shape.receive_firsts[static_cast<std::size_t>(from)],
                                shape.receive_counts[static_cast<std::size_t>(from)], from, 0});
}

}  // namespace

std::uint64_t Shape::length_in_place() const {
    return std::max(input_first_in_place + input_length, output_first_in_place + output_length);
}

std::uint64_t usable_bytes(Collective collective, DataType type, Rank rank_count, std::uint64_t bytes) {
    if (collective == Collective::barrier) return 0;
    std::uint64_t unit = element_bytes(type);
    if (!is_sized_by_one_buffer(collective)) unit *= static_cast<std::uint64_t>(rank_count);
    if (has_blocks_of_own_length(collective)) unit *= 2;  // half a mean block is whole elements
    return std::max(bytes / unit, std::uint64_t{1}) * unit;
}

Shape make_shape(Collective collective, DataType type, Rank rank, Rank rank_count, Rank root, std::uint64_t bytes) {
    Shape shape{.collective = collective, .type = type, .rank = rank, .rank_count = rank_count, .root = root};
    shape.bytes = usable_bytes(collective, type, rank_count, bytes);
    shape.count = shape.bytes / element_bytes(type) /
                  (is_sized_by_one_buffer(collective) ? 1 : static_cast<std::uint64_t>(rank_count));
    switch (collective) {
        case Collective::all_reduce:
        case Collective::reduce:
            shape.input_length = shape.output_length = shape.count;
            shape.output.push_back({0, shape.count, everyone, 0});
            break;
        case Collective::broadcast:
            shape.input_length = shape.output_length = shape.count;
            shape.output.push_back({0, shape.count, root, 0});
            break;
        case Collective::send:
        case Collective::receive:
            shape.input_length = shape.output_length = shape.count;
            shape.can_be_in_place = false;
            shape.output.push_back({0, shape.count, shape.previous(), 0});
            break;
        case Collective::reduce_scatter:
            scatter_blocks(shape, everyone);
            break;
        case Collective::scatter:
            scatter_blocks(shape, root);
            break;
        case Collective::all_gather:
        case Collective::gather:
            gather_blocks(shape);
            break;
        case Collective::all_to_all:
            all_to_all(shape);
            break;
        case Collective::all_to_all_v:
            all_to_all_v(shape);
            break;
        case Collective::all_gather_v:
            agreed_blocks(shape, true);
            break;
        case Collective::reduce_scatter_v:
            agreed_blocks(shape, false);
            break;
        case Collective::barrier:
        case Collective::moe_dispatch:  // of a routing, see moe.hpp
        case Collective::moe_combine:
            shape.can_be_in_place = false;
            break;
    }
    if (rank != root) {
        const bool root_alone_receives = collective == Collective::reduce || collective == Collective::gather;
        const bool root_alone_sends = collective == Collective::broadcast || collective == Collective::scatter;
        if (root_alone_receives) shape.output_length = shape.input_first_in_place = 0, shape.output.clear();
        if (root_alone_sends) shape.input_length = shape.output_first_in_place = 0;
    }
    return shape;
}

double bus_factor(Collective collective, Rank rank_count) {
    const double ranks = rank_count;
    switch (collective) {
        case Collective::all_reduce:
            return 2 * (ranks - 1) / ranks;
        case Collective::broadcast:
        case Collective::reduce:
        case Collective::send:
        case Collective::receive:
            return 1;
        default:
            return (ranks - 1) / ranks;
    }
}

}  // namespace tenon::perf
