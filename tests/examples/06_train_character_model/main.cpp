// Data-parallel training: four processes train one small character model on the licence texts that every Debian machine
// has.
//
// Each step, every rank computes the gradient of its own micro-batch, and one all-reduce adds the four. In
// deterministic mode the sum is formed in the documented order, (g0 + g1) + (g2 + g3), whatever the algorithm; so the
// parameters are, bit for bit, those of one process that computes all four micro-batches and adds them in that order.
// The example shows both, and that the model has learnt: on text it has not seen, it is less surprised than the
// statistics of pairs of characters are.
#include <sys/mman.h>

#include <cstdio>
#include <cstring>

#include "../adam.hpp"
#include "../run_ranks.hpp"
#include "character_model.hpp"

namespace {

using namespace character_model;

constexpr unsigned rank_count = 4, steps = 800, micro_batch = 32;

// `sum_of_gradients(parameters, step)` is all that differs between one process and many.
template <class Sum>
Vector train(Sum sum_of_gradients) {
    Vector parameters = initial_parameters();
    Adam adam(parameter_count);
    for (unsigned step = 0; step < steps; ++step) {
        const float rate = 0.01F * (1 - static_cast<float>(step) / steps);
        adam.step(parameters, sum_of_gradients(parameters, step), rate);
    }
    return parameters;
}

Vector train_as_rank(tenon::Communicator& ranks, const Text& text) {
    return train([&](const Vector& parameters, unsigned step) {
        Vector gradient = gradient_of(parameters, text, step, static_cast<unsigned>(ranks.rank()), micro_batch);
        ranks.all_reduce(gradient);
        return gradient;
    });
}

Vector train_alone(const Text& text) {
    return train([&](const Vector& parameters, unsigned step) {
        Vector g0 = gradient_of(parameters, text, step, 0, micro_batch);
        const Vector g1 = gradient_of(parameters, text, step, 1, micro_batch);
        const Vector g2 = gradient_of(parameters, text, step, 2, micro_batch);
        const Vector g3 = gradient_of(parameters, text, step, 3, micro_batch);
        for (std::size_t i = 0; i < parameter_count; ++i) g0[i] = (g0[i] + g1[i]) + (g2[i] + g3[i]);
        return g0;
    });
}

}  // namespace

int main(int argc, char** argv) {
    const std::filesystem::path folder = argc > 1 ? argv[1] : "/usr/share/common-licenses";
    if (!std::filesystem::is_directory(folder))
        return std::fprintf(stderr, "usage: %s [FOLDER OF TEXTS]; %s is no folder\n", argv[0], folder.c_str()), 2;
    const Text text = read_text(folder);
    // The ranks leave their parameters where this process finds them.
    void* const shared = mmap(nullptr, rank_count * parameter_count * sizeof(float), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return std::perror("mmap"), 1;
    float* const results = static_cast<float*>(shared);

    const auto run_rank = [&](tenon::Communicator& ranks) {
        const Vector parameters = train_as_rank(ranks, text);
        std::copy(parameters.begin(), parameters.end(),
                  results + static_cast<std::size_t>(ranks.rank()) * parameter_count);
        return true;
    };
    if (run_ranks(rank_count, run_rank, {.deterministic = true}) != 0) return 1;

    const Vector alone = train_alone(text);
    bool same = true;
    for (std::size_t rank = 0; rank < rank_count; ++rank)
        same =
            same && std::memcmp(results + rank * parameter_count, alone.data(), parameter_count * sizeof(float)) == 0;
    const double bigrams = bigram_loss(text), start = held_out_loss(initial_parameters(), text);
    const double learnt = held_out_loss(Vector(results, results + parameter_count), text);

    std::printf("training on %zu characters, judged on %zu others; nats per character:\n", text.training.size(),
                text.held_out.size());
    std::printf("  untrained %.3f, pairs of characters %.3f, trained on %u ranks %.3f\n", start, bigrams, rank_count,
                learnt);
    std::printf("the parameters of every rank are %s of one process\n", same ? "bit for bit those" : "NOT those");
    return same && learnt < bigrams ? 0 : 1;
}
