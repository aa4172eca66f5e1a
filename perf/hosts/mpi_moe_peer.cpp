// Times dispatch and combine of MoE over an MPI library's MPI_Alltoallv (perf/moe_permutation.hpp), between the ranks
// that mpirun started; the options mean what they do to `tenon-perf moe`, and figures what peer_timing.h says:
//   --rank R                     which it will be: the process is pinned before MPI starts threads
//   --model M --routing R --tokens N --hidden H     bfloat16 rows in ordinary memory
//   --batches N --batch-ms T
// Prints a line of JSON for each of the two calls on rank 0. Wrong data, or anything else that goes wrong, ends the
// process with status 1.
#include <mpi.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "perf/hosts/peer_timing.h"
#include "perf/moe_permutation.hpp"
#include "perf/moe_values.hpp"

namespace tenon::perf {
namespace {

constexpr DataType row_type = DataType::bfloat16;

std::vector<MoeChoices> choices_of_all(const std::string& routing, const MoeModel& model, std::uint64_t tokens,
                                       int ranks) {
    const auto router = moe_router_named(routing);
    if (!router) throw std::runtime_error("--routing must be " + std::string(moe_router_names()));
    std::vector<MoeChoices> all;
    for (int r = 0; r < ranks; r++) {
        auto choices = route(*router, model, tokens, static_cast<std::uint32_t>(r), static_cast<std::uint32_t>(ranks));
        if (!choices) throw std::runtime_error(choices.error());
        all.push_back(std::move(*choices));
    }
    return all;
}

// MPI counts rows, since a rank may send another more bytes than an int holds.
class RowBlocks {
public:
    RowBlocks(const MoePermutation::Blocks& blocks, std::size_t row_bytes) {
        for (const std::size_t bytes : blocks.bytes) counts_.push_back(rows_in(bytes, row_bytes));
        for (const std::size_t bytes : blocks.offsets) offsets_.push_back(rows_in(bytes, row_bytes));
    }
    const int* counts() const { return counts_.data(); }
    const int* offsets() const { return offsets_.data(); }

private:
    static int rows_in(std::size_t bytes, std::size_t row_bytes) {
        if (bytes / row_bytes > INT_MAX) throw std::runtime_error("more rows than MPI_Alltoallv can count");
        return static_cast<int>(bytes / row_bytes);
    }
    std::vector<int> counts_, offsets_;
};

class MpiMoe {
public:
    MpiMoe(const std::vector<MoeChoices>& choices, int rank, std::uint64_t hidden)
        : rank_(static_cast<std::uint64_t>(rank)), hidden_(hidden), row_bytes_(hidden * element_bytes(row_type)),
          tokens_(choices[rank_].tokens), permutation_(choices, static_cast<std::uint32_t>(rank), hidden, row_type),
          sent_blocks_(permutation_.sent(), row_bytes_), received_blocks_(permutation_.received(), row_bytes_),
          in_(tokens_ * row_bytes_), sent_(permutation_.sent().total()), received_(permutation_.received().total()),
          rows_(permutation_.rows() * row_bytes_), out_(tokens_ * row_bytes_) {
        MPI_Type_contiguous(static_cast<int>(row_bytes_), MPI_BYTE, &row_);
        MPI_Type_commit(&row_);
        values_of(tokens_).fill(in_.data(), [&](auto t, auto e) { return token_value(rank_, t, e, 0); });
    }
    ~MpiMoe() { MPI_Type_free(&row_); }
    MpiMoe(const MpiMoe&) = delete;
    MpiMoe& operator=(const MpiMoe&) = delete;

    void dispatch() {
        permutation_.permute(in_.data(), sent_.data());
        MPI_Alltoallv(sent_.data(), sent_blocks_.counts(), sent_blocks_.offsets(), row_, received_.data(),
                      received_blocks_.counts(), received_blocks_.offsets(), row_, MPI_COMM_WORLD);
        permutation_.unpermute(received_.data(), rows_.data());
    }
    void combine() {
        permutation_.permute_back(rows_.data(), received_.data());
        MPI_Alltoallv(received_.data(), received_blocks_.counts(), received_blocks_.offsets(), row_, sent_.data(),
                      sent_blocks_.counts(), sent_blocks_.offsets(), row_, MPI_COMM_WORLD);
        permutation_.add_up(sent_.data(), out_.data());
    }
    // After both, since the experts return what they were given.
    void check() const {
        const std::uint64_t wrong =
            values_of(permutation_.rows()).count_wrong(rows_.data(), [&](auto r, auto e) {
                return token_value(permutation_.rank_of_row(r), permutation_.token_of_row(r), e, 0);
            }) +
            values_of(tokens_).count_wrong(out_.data(), [&](auto t, auto e) {
                return permutation_.sum_of_weights(t) * token_value(rank_, t, e, 0);
            });
        if (wrong != 0) throw std::runtime_error(std::to_string(wrong) + " elements are wrong");
    }
    std::uint64_t received_bytes() const { return permutation_.received_tokens() * row_bytes_; }

private:
    RowsOfValues values_of(std::uint64_t rows) const { return {row_type, rows, hidden_}; }

    std::uint64_t rank_, hidden_, row_bytes_, tokens_;
    MoePermutation permutation_;
    RowBlocks sent_blocks_, received_blocks_;
    std::vector<std::byte> in_, sent_, received_, rows_, out_;
    MPI_Datatype row_ = MPI_DATATYPE_NULL;
};

void wait_for_all() { MPI_Barrier(MPI_COMM_WORLD); }

double slowest(double seconds) {
    double all = 0;
    MPI_Allreduce(&seconds, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

int run(int argc, char** argv) {
    int rank = 0, ranks = 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const std::string model_name = take_option(&argc, argv, "--model", "v4-pro"),
                      routing = take_option(&argc, argv, "--routing", "uniform");
    const auto model = moe_model_named(model_name);
    if (!model) throw std::runtime_error("--model must be " + std::string(moe_model_names()));
    const std::uint64_t tokens = std::stoull(take_option(&argc, argv, "--tokens", "4096")),
                        chosen = std::stoull(take_option(&argc, argv, "--hidden", "0")),
                        hidden = chosen != 0 ? chosen : model->hidden;
    const Batches batches = take_batches(&argc, argv);
    if (argc != 1) throw std::runtime_error(std::string("what is ") + argv[1] + "?");

    MpiMoe moe(choices_of_all(routing, *model, tokens, ranks), rank, hidden);
    const double received_us = slowest(static_cast<double>(moe.received_bytes())) / 1e3;  // at 1 GB/s
    moe.dispatch();
    moe.combine();
    moe.check();
    const Peer peer{.name = "openmpi", .version = "", .prepare = nullptr, .run = nullptr, .barrier = wait_for_all,
                    .slowest = slowest};
    const auto report = [&](const char* call, void (*repeated)(void*)) {
        const Times times = time_calls(&peer, &batches, repeated, &moe);
        if (rank != 0) return;
        std::printf(R"({"peer":"openmpi","collective":"moe_%s","model":"%s","routing":"%s","layout":"expert",)"
                    R"("path":"all_to_all_v","type":"bfloat16","hidden":%llu,"tokens":%llu,"ranks":%d,)"
                    R"("memory":"ordinary","time_us":%.3f,"GBs":%.4f,"wrong":0})"
                    "\n",
                    call, model_name.c_str(), routing.c_str(), static_cast<unsigned long long>(hidden),
                    static_cast<unsigned long long>(tokens), ranks, times.median_us, received_us / times.median_us);
    };
    report("dispatch", [](void* what) { static_cast<MpiMoe*>(what)->dispatch(); });
    report("combine", [](void* what) { static_cast<MpiMoe*>(what)->combine(); });
    moe.check();
    return 0;
}

}  // namespace
}  // namespace tenon::perf

int main(int argc, char** argv) {
    pin_to_core_of(std::atoi(take_option(&argc, argv, "--rank", "0")));
    MPI_Init(&argc, &argv);
    int status = 1;
    try {
        status = tenon::perf::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "mpi_moe_peer: %s\n", error.what());
    }
    if (status != 0) MPI_Abort(MPI_COMM_WORLD, status);
    MPI_Finalize();
    return 0;
}
