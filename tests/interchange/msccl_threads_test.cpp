// MSCCL files run for real: their plans, bound to the rings that ranks of one process share, by the library's executor,
// a thread for each rank; what comes out is compared with the collective's definition.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "communicator/surroundings.hpp"
#include "execution/execution.hpp"
#include "interchange/msccl.hpp"
#include "os/cpu.hpp"
#include "os/memory.hpp"
#include "tests/interchange/msccl_files.hpp"
#include "tests/support/call_buffers.hpp"
#include "tests/support/rank_threads.hpp"
#include "tests/support/seed.hpp"

namespace tenon::interchange_test {
namespace {

constexpr std::uint64_t slot_memory_bytes = 512 << 20;  // one of the files uses 32 channels with 7 peers

void run_rank(const Plan& plan, const Request& request, std::byte* segment, support::CallBuffers& buffers) {
    std::vector<PeerFacts> peers(static_cast<std::size_t>(request.rank_count));
    for (PeerFacts& p : peers) p.same_process = true;
    const auto transport = make_transport({.segment = segment,
                                           .control_bytes = 0,
                                           .rank = request.rank,
                                           .rank_count = request.rank_count,
                                           .slot_memory_bytes = slot_memory_bytes,
                                           .peers = std::move(peers)});
    ASSERT_TRUE(transport) << transport.error().message;
    const auto program = bind(plan, request, **transport);
    ASSERT_TRUE(program) << program.error().message;
    std::vector<std::byte> scratch(program->scratch_bytes);
    Execution execution;
    execution.begin(
        *program,
        {static_cast<const std::byte*>(buffers.send()), static_cast<std::byte*>(buffers.receive()), scratch.data()},
        program->signature, {});
    Progress progress = execution.advance();
    for (; progress == Progress::blocked; progress = execution.advance())
        if (!execution.moved()) os::yield_core();
    ASSERT_EQ(progress, Progress::done) << execution.error().message;
}

void run_on_threads(const MscclAlgorithm& algorithm, std::size_t count, bool in_place) {
    const Plan& first = algorithm.plans[0];
    const support::Shape shape{.collective = first.collective,
                               .type = DataType::float32,
                               .op = ReduceOp::avg,
                               .rank_count = first.rank_count,
                               .root = first.root,
                               .count = count};
    SCOPED_TRACE(in_words(shape) + (in_place ? ", in place" : ""));
    const support::Reference reference(shape, support::Values::exact, false, support::test_seed());
    auto segment = os::Mapping::anonymous({segment_bytes(shape.rank_count, slot_memory_bytes, 0)});
    ASSERT_TRUE(segment) << segment.error().message;
    std::vector<std::unique_ptr<support::CallBuffers>> buffers;
    for (Rank r = 0; r < shape.rank_count; r++)
        buffers.push_back(std::make_unique<support::CallBuffers>(reference, r, in_place, support::Memory::ordinary));
    support::on_rank_threads(shape.rank_count, [&](Rank r) {
        const Request request{.collective = shape.collective,
                              .rank = r,
                              .rank_count = shape.rank_count,
                              .count = {count},
                              .type = shape.type,
                              .op = shape.op,
                              .root = shape.root};
        run_rank(algorithm.plans[static_cast<std::size_t>(r)], request, segment->data(),
                 *buffers[static_cast<std::size_t>(r)]);
    });
    for (Rank r = 0; r < shape.rank_count; r++)
        EXPECT_EQ(buffers[static_cast<std::size_t>(r)]->problem().value_or(""), "") << "rank " << r;
}

void run_file(const std::string& xml, const std::string& name) {
    const auto algorithm = read_msccl(xml, name);
    if (!algorithm) return;  // refused: the other tests say whether rightly
    for (const std::size_t count : {0, 5, 1000, 30'011}) {
        run_on_threads(*algorithm, count, false);
        // An all-to-all in place is a call on a copy of the input: see plan.hpp.
        if (algorithm->in_place && algorithm->facts.collective != Collective::all_to_all)
            run_on_threads(*algorithm, count, true);
    }
}

TEST(MscclThreads, OwnFilesGiveTheRightData) {
    for (const MscclFile& file : right_files()) {
        SCOPED_TRACE(file.name);
        run_file(file.xml, file.name);
    }
}

TEST(MscclThreads, PublicFilesGiveTheRightData) {
    const char* given = std::getenv("TENON_CORPORA");
    const std::filesystem::path folder =
        std::filesystem::path(given != nullptr ? given : TENON_SOURCE_DIR "/../shared/corpora") / "msccl";
    if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no " << folder;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        SCOPED_TRACE(entry.path().filename().string());
        std::ifstream file{entry.path(), std::ios::binary};
        run_file({std::istreambuf_iterator<char>{file}, {}}, entry.path().filename().string());
    }
}

}  // namespace
}  // namespace tenon::interchange_test
