#include "tests/interchange/msccl_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string_view>

namespace tenon::interchange_test {
namespace {

struct At {
    char buffer = 'i';
    int offset = 0;
};
struct After {
    int thread_block = -1, step = -1;
};

class Writer {
public:
    Writer(std::string_view name, std::string_view collective, int gpus, int chunks, std::string_view more)
        : text_(fmt::format(
              "<algo name=\"{}\" proto=\"Simple\" nchannels=\"2\" nchunksperloop=\"{}\" ngpus=\"{}\" coll=\"{}\" {}>\n",
              name, chunks, gpus, collective, more)) {}

    void gpu(int id, int inputs, int outputs, int scratch) {
        close_gpu();
        text_ += fmt::format("  <gpu id=\"{}\" i_chunks=\"{}\" o_chunks=\"{}\" s_chunks=\"{}\">\n", id, inputs, outputs,
                             scratch);
        in_gpu_ = true;
        thread_blocks_ = 0;
    }
    void thread_block(int send, int receive, int channel = 0) {
        close_thread_block();
        text_ += fmt::format("    <tb id=\"{}\" send=\"{}\" recv=\"{}\" chan=\"{}\">\n", thread_blocks_++, send,
                             receive, channel);
        in_thread_block_ = true;
        steps_ = 0;
    }
    void step(std::string_view type, At source, At destination, int count = 1, After after = {}) {
        text_ += fmt::format(
            "      <step s=\"{}\" type=\"{}\" srcbuf=\"{}\" srcoff=\"{}\" dstbuf=\"{}\" dstoff=\"{}\" cnt=\"{}\" "
            "depid=\"{}\" deps=\"{}\" hasdep=\"0\"/>\n",
            steps_++, type, source.buffer, source.offset, destination.buffer, destination.offset, count,
            after.thread_block, after.step);
    }
    void nop(After after) { step("nop", {'i', -1}, {'o', -1}, 0, after); }

    std::string finish() {
        close_gpu();
        return text_ + "</algo>\n";
    }

private:
    void close_thread_block() {
        if (in_thread_block_) text_ += "    </tb>\n";
        in_thread_block_ = false;
    }
    void close_gpu() {
        close_thread_block();
        if (in_gpu_) text_ += "  </gpu>\n";
        in_gpu_ = false;
    }

    std::string text_;
    bool in_gpu_ = false, in_thread_block_ = false;
    int thread_blocks_ = 0, steps_ = 0;
};

int around(int value, int size) { return ((value % size) + size) % size; }

}  // namespace

std::string ring_all_reduce(int gpus) {
    Writer file{"ring", "allreduce", gpus, gpus, "inplace=\"1\" outofplace=\"0\" minBytes=\"1024\" maxBytes=\"0\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        const auto chunk = [&](int back) { return At{'i', around(gpu - back, gpus)}; };
        file.gpu(gpu, gpus, 0, 0);
        file.thread_block(around(gpu + 1, gpus), around(gpu - 1, gpus));
        file.step("s", chunk(0), chunk(0));
        for (int back = 1; back < gpus - 1; back++) file.step("rrs", chunk(back), chunk(back));
        file.step("rrcs", chunk(-1), chunk(-1));
        for (int back = 0; back < gpus - 2; back++) file.step("rcs", chunk(back), chunk(back));
        file.step("r", chunk(gpus - 2), chunk(gpus - 2));
    }
    return file.finish();
}

std::string all_pairs_all_reduce(int gpus, int run) {
    Writer file{"all_pairs", "allreduce", gpus, gpus * run, "inplace=\"1\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        file.gpu(gpu, gpus * run, 0, (gpus - 1) * run);
        const int last_sum = 2 * gpus - 4;
        for (int chunk = 0; chunk < run; chunk++) {
            file.thread_block(-1, -1);
            for (int peer = 1; peer < gpus - 1; peer++) file.nop({run + peer, 1});
            for (int peer = 0; peer < gpus - 1; peer++)
                file.step("re", {'s', peer * run + chunk}, {'i', gpu * run + chunk}, 1,
                          peer == 0 ? After{run, 1} : After{});
        }
        for (int peer = 0; peer < gpus - 1; peer++) {
            const int other = peer < gpu ? peer : peer + 1;
            file.thread_block(other, other);
            file.step("s", {'i', other * run}, {'s', 0}, run);
            file.step("r", {'i', 0}, {'s', peer * run}, run);
            for (int chunk = 0; chunk < run - 1; chunk++) file.nop({chunk, last_sum});
            file.step("s", {'i', gpu * run}, {'i', gpu * run}, run, {run - 1, last_sum});
            file.step("r", {'i', other * run}, {'i', other * run}, run);
        }
    }
    return file.finish();
}

std::string hierarchical_all_gather(int nodes) {
    const int gpus = 2 * nodes;
    Writer file{"hierarchical", "allgather", gpus, gpus, "inplace=\"1\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        const int neighbour = gpu ^ 1, node = gpu / 2;
        file.gpu(gpu, 0, gpus, 0);
        file.thread_block(neighbour, neighbour);
        file.step("s", {'o', gpu}, {'o', gpu});
        file.step("r", {'o', neighbour}, {'o', neighbour});
        file.thread_block(around(gpu + 2, gpus), around(gpu - 2, gpus), 1);
        for (int round = 0; round < nodes - 1; round++) {
            const At sent{'o', 2 * around(node - round, nodes)}, received{'o', 2 * around(node - round - 1, nodes)};
            file.step("s", sent, sent, 2, round == 0 ? After{0, 1} : After{});
            file.step("r", received, received, 2);
        }
    }
    return file.finish();
}

std::string staged_all_gather(int gpus, int pieces) {
    Writer file{"staged", "allgather", gpus, gpus * pieces, "inplace=\"0\" outofplace=\"1\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        file.gpu(gpu, pieces, gpus * pieces, gpus * pieces);
        for (int peer = 0; peer < gpus - 1; peer++) {
            const int other = peer < gpu ? peer : peer + 1;
            file.thread_block(other, other);
            file.step("s", {'i', 0}, {'s', gpu * pieces}, pieces);
            file.step("r", {'i', 0}, {'s', other * pieces}, pieces);
        }
        file.thread_block(-1, -1);
        for (int peer = 1; peer < gpus - 1; peer++) file.nop({peer, 1});
        After after{0, 1};
        for (int chunk = 0; chunk < gpus * pieces; chunk++) {
            const bool own = chunk / pieces == gpu;
            file.step("cpy", own ? At{'i', chunk % pieces} : At{'s', chunk}, {'o', chunk}, 1, after);
            after = {};
        }
    }
    return file.finish();
}

std::string ring_reduce_scatter(int gpus) {
    Writer file{"ring", "reduce_scatter", gpus, gpus,
                "inplace=\"1\" outofplace=\"1\" minBytes=\"0\" maxBytes=\"4096\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        file.gpu(gpu, gpus, 1, 0);
        file.thread_block(around(gpu + 1, gpus), around(gpu - 1, gpus));
        file.step("s", {'i', around(gpu - 1, gpus)}, {'i', 0});
        for (int back = 2; back < gpus; back++) {
            const At chunk{'i', around(gpu - back, gpus)};
            file.step("rrcs", chunk, chunk);
        }
        file.step("rrc", {'i', gpu}, {'o', 0});
    }
    return file.finish();
}

std::string direct_all_to_all(int gpus, int pieces) {
    Writer file{"direct", "alltoall", gpus, gpus * pieces, "inplace=\"0\" outofplace=\"1\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        file.gpu(gpu, gpus * pieces, gpus * pieces, 0);
        file.thread_block(-1, -1);
        file.step("cpy", {'i', gpu * pieces}, {'o', gpu * pieces}, pieces);
        for (int other = 0; other < gpus; other++) {
            if (other == gpu) continue;
            file.thread_block(other, -1, 1);
            file.step("s", {'i', other * pieces}, {'o', gpu * pieces}, pieces);
            file.thread_block(-1, other, 1);
            file.step("r", {'i', gpu * pieces}, {'o', other * pieces}, pieces);
        }
    }
    return file.finish();
}

std::string chain_broadcast(int gpus, int root) {
    Writer file{"chain", "broadcast", gpus, 2, "inplace=\"1\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        const bool is_first = gpu == root, is_last = around(gpu + 1, gpus) == root;
        file.gpu(gpu, 2, 2, 0);
        file.thread_block(is_last ? -1 : around(gpu + 1, gpus), is_first ? -1 : around(gpu - 1, gpus));
        file.step(is_first ? "s" : is_last ? "r" : "rcs", {'i', 0}, {'o', 0}, 2);
    }
    return file.finish();
}

std::string chain_reduce(int gpus, int root) {
    Writer file{"chain", "reduce", gpus, 2, "inplace=\"0\" outofplace=\"1\""};
    for (int gpu = 0; gpu < gpus; gpu++) {
        const bool is_last = gpu == root, is_first = around(gpu - 1, gpus) == root;
        file.gpu(gpu, 2, 2, 0);
        file.thread_block(is_last ? -1 : around(gpu + 1, gpus), is_first ? -1 : around(gpu - 1, gpus));
        file.step(is_first ? "s" : is_last ? "rrc" : "rrcs", {'i', 0}, {'o', 0}, 2);
    }
    return file.finish();
}

std::vector<MscclFile> right_files() {
    return {{"ring_all_reduce_2", ring_all_reduce(2)},
            {"ring_all_reduce_5", ring_all_reduce(5)},
            {"all_pairs_all_reduce_2_1", all_pairs_all_reduce(2, 1)},
            {"all_pairs_all_reduce_4_3", all_pairs_all_reduce(4, 3)},
            {"hierarchical_all_gather_2", hierarchical_all_gather(2)},
            {"hierarchical_all_gather_4", hierarchical_all_gather(4)},
            {"staged_all_gather_3_1", staged_all_gather(3, 1)},
            {"staged_all_gather_4_3", staged_all_gather(4, 3)},
            {"ring_reduce_scatter_4", ring_reduce_scatter(4)},
            {"direct_all_to_all_4_1", direct_all_to_all(4, 1)},
            {"direct_all_to_all_3_4", direct_all_to_all(3, 4)},
            {"chain_broadcast_4_2", chain_broadcast(4, 2)},
            {"chain_reduce_4_3", chain_reduce(4, 3)}};
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << "the fixture has no " << from;
    return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

}  // namespace tenon::interchange_test
