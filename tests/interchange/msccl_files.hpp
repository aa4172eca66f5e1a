// MSCCL files for the tests, written after the format: one element a line, so that line numbers in messages can be
// told.
#pragma once

#include <string>
#include <vector>

namespace tenon::interchange_test {

struct MscclFile {
    std::string name;
    std::string xml;
};

// In place, one tb per gpu: reduce-scatter, then all-gather around the ring.
std::string ring_all_reduce(int gpus);
// In place with scratch: every gpu sums one share of `run` chunks, chunk by chunk, from runs sent by all others.
std::string all_pairs_all_reduce(int gpus, int run);
// In place over `nodes` of two gpus: exchange in the node, then pairs of chunks around the ring of nodes.
std::string hierarchical_all_gather(int nodes);
// Out of place, gathers into scratch, then copies chunk by chunk; nops carry all waits but one.
std::string staged_all_gather(int gpus, int pieces);
// In place with shares written into the input buffer.
std::string ring_reduce_scatter(int gpus);
// Out of place; a channel per direction.
std::string direct_all_to_all(int gpus, int pieces);
// A chain from `root`, in place.
std::string chain_broadcast(int gpus, int root);
// A chain to `root`, out of place, that also leaves partial sums in the others' outputs.
std::string chain_reduce(int gpus, int root);

std::vector<MscclFile> right_files();

// `text` with the first `from` replaced; the tests' way to break a file.
std::string replaced(std::string text, const std::string& from, const std::string& to);

}  // namespace tenon::interchange_test
