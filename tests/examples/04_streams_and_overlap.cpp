// Streams: while one layer's gradient is averaged in the background, the next layer's is computed.
//
// Each gradient is averaged in two calls, as sharded training does: a reduce-scatter leaves every rank with a share of
// the sum, which it could now use to update its share of the parameters, and an all-gather gives all shares to
// everybody. They are in two streams, so that the gather of one layer runs beside the reduction of the next; an event
// says when its input is there.
#include <cmath>
#include <cstdio>
#include <vector>

#include "run_ranks.hpp"

namespace {

constexpr int rank_count = 4;
constexpr std::size_t layers = 8, share = 20'000, layer_size = share * rank_count;

float gradient(std::size_t layer, std::size_t i, int rank) {
    return std::floor(100 * std::sin(static_cast<float>(layer * layer_size + i))) + static_cast<float>(4 * rank);
}

bool run_rank(tenon::Communicator& ranks) {
    // Buffers of calls in a stream outlive it: declared before it, they are released after it.
    std::vector<std::vector<float>> gradients(layers, std::vector<float>(layer_size));
    std::vector<std::vector<float>> shares(layers, std::vector<float>(share));
    std::vector<tenon::Event> reduced(layers);
    tenon::Stream reductions, gathers;

    for (std::size_t layer = layers; layer-- > 0;) {  // backwards, as gradients come
        for (std::size_t i = 0; i < layer_size; ++i) gradients[layer][i] = gradient(layer, i, ranks.rank());
        ranks.reduce_scatter(gradients[layer], shares[layer], tenonAvg, reductions);
        reduced[layer].record(reductions);
        gathers.wait(reduced[layer]);
        ranks.all_gather(shares[layer], gradients[layer], gathers);
    }  // all of these calls have returned at once; none need have completed

    // An event can also be waited for here: this rank's share of the first layer is the last to be reduced.
    reduced[0].synchronize();
    const std::size_t own = share * static_cast<std::size_t>(ranks.rank());
    const bool share_is_right = shares[0][0] == gradient(0, own, 0) + 6;

    gathers.synchronize();  // throws what went wrong in the stream
    for (std::size_t layer = 0; layer < layers; ++layer)
        for (std::size_t i = 0; i < layer_size; ++i)
            if (gradients[layer][i] != gradient(layer, i, 0) + 6) {  // (0 + 4 + 8 + 12) / 4
                std::fprintf(stderr, "rank %d: layer %zu, element %zu is wrong\n", ranks.rank(), layer, i);
                return false;
            }
    std::printf("rank %d: %zu layers averaged in the background\n", ranks.rank(), layers);
    return share_is_right;
}

}  // namespace

int main() { return run_ranks(rank_count, run_rank); }
