// A random case of MoE: a configuration, everybody's routing and rows, and what must come of them, from the definitions
// in tenon/moe.h alone, one row and one element at a time.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "tenon/moe.h"
#include "tenon/plugin/types.hpp"

namespace tenon::support {

// Who makes a job's ranks, and how their bytes travel; for a few cases one after another.
struct MoeJob {
    int rank_count = 1;
    std::string groups{};           // TENON_GROUPS; empty: all are on one node
    std::vector<int> node_of{};     // by rank
    bool direct_access = true;      // else TENON_DIRECT_ACCESS=off
    std::uint64_t slot_memory = 0;  // 0: as it comes
    bool over_network = false;      // TENON_TRANSPORT=network
    bool has_long_rows = false;     // of a model's length, and TENON_STREAMING_STORES=on
    std::string in_words() const;
};
MoeJob random_moe_job(std::mt19937_64& random);

// Where a row of a rank's buffer comes from; padding has rank -1.
struct MoeRow {
    int rank = -1;
    std::int64_t token = -1;
    int slot = -1;    // expert-major
    int expert = -1;  // expert-major
};

class MoeCase {
public:
    MoeCase(const MoeJob& job, std::uint64_t seed);

    tenonMoeConfig_t config() const;  // refers to this
    std::string in_words() const;

    int rank_count() const { return static_cast<int>(node_of_.size()); }
    bool rank_major() const { return layout_ == tenonMoeRankMajor; }
    int top_k() const { return top_k_; }
    std::size_t hidden() const { return hidden_; }
    DataType token_type() const { return token_type_; }
    DataType dispatch_type() const { return dispatch_type_; }
    bool is_quantised() const { return dispatch_type_ == DataType::int8 || dispatch_type_ == DataType::float8_e4m3; }
    bool tokens_are_codes() const { return is_quantised() && token_type_ == dispatch_type_; }
    std::size_t scales() const { return dispatch_type_ == DataType::int8 ? 1 : (hidden_ + 127) / 128; }
    DataType combine_type() const { return combine_type_; }
    std::size_t tokens(int rank) const { return tokens_[static_cast<std::size_t>(rank)]; }
    bool has_weights() const { return has_weights_; }
    bool uses_shared_memory() const { return uses_shared_memory_; }
    const std::vector<std::int64_t>& indices(int rank) const { return indices_[static_cast<std::size_t>(rank)]; }
    const std::vector<float>& weights(int rank) const { return weights_[static_cast<std::size_t>(rank)]; }
    int places() const { return places_; }
    int node_of(int rank) const { return node_of_[static_cast<std::size_t>(rank)]; }
    bool is_masked(int rank) const { return masked_[static_cast<std::size_t>(rank)] != 0; }
    // Half of the cases with masked ranks make a group without, and mask them afterwards.
    const unsigned char* mask_set_later() const { return masks_later_ ? masked_.data() : nullptr; }
    tenonMoePath_t path() const { return path_; }
    int expert_at(int rank, int place) const { return placement_[static_cast<std::size_t>(rank * places_ + place)]; }

    // An element of a token, as its bits; `round` tells calls with one handle apart.
    std::uint64_t token_element(int rank, std::int64_t token, std::size_t element, int round) const;
    // The scale of a token that is codes already, as its bits.
    std::uint64_t token_scale(int rank, std::int64_t token, std::size_t scale, int round) const;
    // A token as it arrives: its elements, or codes, and then its scales.
    std::vector<std::uint64_t> arriving(int rank, std::int64_t token, int round) const;
    // An element of what the expert of a row makes of it.
    std::uint64_t expert_element(int at_rank, const MoeRow& row, std::size_t element, int round) const;

    std::vector<MoeRow> rows(int rank) const;

    // Bytes of rows that one dispatch and one combine send from a rank to others of its node and to other nodes.
    struct Traffic {
        std::uint64_t dispatch_inside = 0, dispatch_leaving = 0, combine_inside = 0, combine_leaving = 0;
    };
    Traffic traffic_of(int rank, bool hierarchical) const;
    // Of one token, all elements.
    std::vector<std::uint64_t> combined(int rank, std::int64_t token, bool weighted, int round) const;
    float weight(int rank, std::int64_t token, int slot) const;
    int expert(int rank, std::int64_t token, int slot) const;
    struct Place {
        int rank = -1;
        int place = 0;
    };
    Place place_of(int rank, std::int64_t token, int slot) const;  // rank -1: none

private:
    std::uint64_t element(DataType type, std::uint64_t what) const;
    int forwarder_of(int rank, int node) const;
    std::vector<int> entries_by_rank(int rank, std::int64_t token) const;
    void add_flat_traffic(Traffic& traffic, int own) const;
    void add_hierarchical_traffic(Traffic& traffic, int own) const;

    std::vector<int> node_of_;
    std::uint64_t seed_;
    int experts_ = 1, top_k_ = 1, places_ = 1, alignment_ = 1;
    std::size_t hidden_ = 1, most_tokens_ = 1;
    DataType token_type_ = DataType::float32, dispatch_type_ = DataType::float32, combine_type_ = DataType::float32;
    tenonMoeLayout_t layout_ = tenonMoeExpertMajor;
    tenonMoePath_t path_ = tenonMoeFlat;
    std::size_t window_bytes_ = 0;
    bool float32_partials_ = false, has_placement_ = false, has_weights_ = true, uses_shared_memory_ = false;
    std::vector<int> placement_;
    std::vector<unsigned char> masked_;  // by rank
    bool masks_later_ = false;
    std::vector<std::size_t> tokens_;
    std::vector<std::vector<std::int64_t>> indices_;
    std::vector<std::vector<float>> weights_;
};

// One rank's part: makes the group and a handle, dispatches and combines twice, and checks all. "" or what is wrong.
std::string run_moe_case(const MoeCase& moe, tenonComm_t comm, int rank);

}  // namespace tenon::support
