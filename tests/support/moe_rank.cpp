// One rank's part of a case of MoE, through the C API.
#include <cstring>
#include <memory>
#include <set>
#include <stdexcept>

#include "tests/support/c_calls.hpp"
#include "tests/support/guarded_buffer.hpp"
#include "tests/support/moe_case.hpp"

namespace tenon::support {
namespace {

// Elements of up to 4 bytes, little end first.
void put(std::byte* at, std::uint64_t bits, std::size_t bytes) { std::memcpy(at, &bits, bytes); }
std::uint64_t get(const std::byte* at, std::size_t bytes) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, at, bytes);
    return bits;
}

class RankOfCase {
public:
    RankOfCase(const MoeCase& moe, tenonComm_t comm, int rank)
        : moe_(moe), comm_(comm), rank_(rank), expected_(moe.rows(rank)),
          memory_(moe.uses_shared_memory() ? Memory::tenon : Memory::ordinary) {}
    ~RankOfCase() {
        if (handle_ != nullptr) tenonMoeHandleDestroy(handle_);
        if (group_ != nullptr) tenonMoeGroupDestroy(group_);
    }
    RankOfCase(const RankOfCase&) = delete;
    RankOfCase& operator=(const RankOfCase&) = delete;

    void run() {
        const tenonMoeConfig_t config = moe_.config();
        require(tenonMoeGroupCreate(&group_, comm_, &config));
        find_path();
        if (moe_.mask_set_later() != nullptr) require(tenonMoeGroupMask(group_, moe_.mask_set_later()));
        require(tenonMoePrepare(&handle_, group_, moe_.indices(rank_).data(),
                                moe_.has_weights() ? moe_.weights(rank_).data() : nullptr, moe_.tokens(rank_),
                                nullptr));
        check_counts();
        check_sources();
        for (const int round : {0, 1}) {
            dispatch(round);
            combine(round, round == 0 && !moe_.rank_major());
        }
        check_traffic_of_calls(2);
    }

private:
    void require(tenonResult_t result) const {
        if (result != tenonSuccess) throw std::runtime_error(outcome(result, comm_));
    }
    void demand(bool holds, const std::string& what) const {
        if (!holds) throw std::runtime_error(what);
    }

    // The configured one; or either.
    void find_path() {
        tenonMoePath_t path = tenonMoeAuto;
        require(tenonMoeGetPath(group_, &path));
        hierarchical_ = path == tenonMoeHierarchical;
        demand(path == moe_.path() || (moe_.path() == tenonMoeAuto && (hierarchical_ || path == tenonMoeFlat)),
               "wrong path");
    }

    void check_counts() const {
        tenonMoeCounts_t counts;
        require(tenonMoeGetCounts(handle_, &counts));
        demand(counts.rows == expected_.size(), "it says that " + std::to_string(counts.rows) + " rows come, not " +
                                                    std::to_string(expected_.size()));
        demand(counts.tokens == moe_.tokens(rank_) && counts.places == moe_.places(), "wrong tokens or places");
        demand(counts.rowsToOtherNodes == rows_to_other_nodes(hierarchical_), "wrong rows to other nodes");
        demand(counts.leastRowsToOtherNodes == rows_to_other_nodes(true), "wrong least rows to other nodes");
        for (int r = 0; r < moe_.rank_count(); r++) demand(counts.nodes[r] == moe_.node_of(r), "wrong nodes");
        check_dropped(counts);
        for (int place = 0; place < moe_.places(); place++) check_place(counts, place);
        for (int peer = 0; peer < moe_.rank_count(); peer++) {
            check_traffic(rank_, peer, counts.sentTokens[peer], counts.sentEntries[peer]);
            check_traffic(peer, rank_, counts.receivedTokens[peer], counts.receivedEntries[peer]);
        }
    }

    void check_dropped(const tenonMoeCounts_t& counts) const {
        std::size_t slots = 0, tokens = 0;
        for (std::int64_t t = 0; t < static_cast<std::int64_t>(moe_.tokens(rank_)); t++) {
            int asked = 0, dropped = 0;
            for (int s = 0; s < moe_.top_k(); s++) {
                if (moe_.expert(rank_, t, s) < 0) continue;
                asked++;
                dropped += moe_.place_of(rank_, t, s).rank < 0 ? 1 : 0;
            }
            slots += static_cast<std::size_t>(dropped);
            tokens += asked != 0 && asked == dropped ? 1 : 0;
        }
        demand(counts.droppedSlots == slots && counts.droppedTokens == tokens, "wrong dropped slots or tokens");
    }

    // Once for each node that a token needs, or for each rank there.
    std::size_t rows_to_other_nodes(bool by_node) const {
        std::size_t rows = 0;
        for (std::int64_t t = 0; t < static_cast<std::int64_t>(moe_.tokens(rank_)); t++) {
            std::set<int> to;
            for (int s = 0; s < moe_.top_k(); s++) {
                const MoeCase::Place at = moe_.place_of(rank_, t, s);
                if (at.rank >= 0 && moe_.node_of(at.rank) != moe_.node_of(rank_))
                    to.insert(by_node ? moe_.node_of(at.rank) : at.rank);
            }
            rows += to.size();
        }
        return rows;
    }

    void check_place(const tenonMoeCounts_t& counts, int place) const {
        std::size_t rows = 0;
        for (int from = 0; from < moe_.rank_count(); from++)
            for (std::int64_t t = 0; t < static_cast<std::int64_t>(moe_.tokens(from)); t++)
                for (int s = 0; s < moe_.top_k(); s++) {
                    const MoeCase::Place at = moe_.place_of(from, t, s);
                    rows += at.rank == rank_ && at.place == place ? 1 : 0;
                }
        demand(counts.experts[place] == moe_.expert_at(rank_, place) && counts.placeRows[place] == rows,
               "wrong expert or rows at place " + std::to_string(place));
        if (rows == 0 || moe_.rank_major()) return;
        const MoeRow& first = expected_.at(counts.placeOffsets[place]);
        demand(first.expert == moe_.expert_at(rank_, place), "wrong offset of place " + std::to_string(place));
    }

    void check_traffic(int from, int to, std::size_t told_tokens, std::size_t told_entries) const {
        std::size_t tokens = 0, entries = 0;
        for (std::int64_t t = 0; t < static_cast<std::int64_t>(moe_.tokens(from)); t++) {
            std::size_t of_token = 0;
            for (int s = 0; s < moe_.top_k(); s++) of_token += moe_.place_of(from, t, s).rank == to ? 1 : 0;
            tokens += of_token != 0 ? 1 : 0;
            entries += of_token;
        }
        demand(told_tokens == tokens && told_entries == entries,
               "wrong traffic from rank " + std::to_string(from) + " to " + std::to_string(to));
    }

    void check_sources() const {
        const std::size_t rows = expected_.size(),
                          width = moe_.rank_major() ? static_cast<std::size_t>(moe_.top_k()) : 1;
        std::vector<int> ranks(rows), slots(rows), experts(rows * width);
        std::vector<std::int64_t> tokens(rows);
        std::vector<float> weights(rows * width);
        require(tenonMoeGetRows(handle_, ranks.data(), tokens.data(), moe_.rank_major() ? nullptr : slots.data(),
                                experts.data(), weights.data()));
        for (std::size_t i = 0; i < rows; i++) {
            const MoeRow& row = expected_[i];
            const std::string at = "row " + std::to_string(i);
            demand(ranks[i] == row.rank && tokens[i] == row.token, "wrong source of " + at);
            if (!moe_.rank_major()) {
                demand(slots[i] == row.slot && experts[i] == row.expert, "wrong slot or expert of " + at);
                check_weight(weights[i], row.rank < 0 ? 0 : moe_.weight(row.rank, row.token, row.slot), at);
                continue;
            }
            for (int s = 0; s < moe_.top_k(); s++) {
                const bool here = moe_.place_of(row.rank, row.token, s).rank == rank_;
                const std::size_t k = i * width + static_cast<std::size_t>(s);
                demand(experts[k] == (here ? moe_.expert(row.rank, row.token, s) : -1), "wrong expert in " + at);
                check_weight(weights[k], here ? moe_.weight(row.rank, row.token, s) : 0, at);
            }
        }
    }

    // With a hierarchy, what left nodes is the least that can: each token once to each node, and one sum from there.
    void check_traffic_of_calls(std::uint64_t calls) const {
        tenonMoeTraffic_t traffic;
        require(tenonMoeGetTraffic(group_, &traffic));
        const MoeCase::Traffic wanted = moe_.traffic_of(rank_, hierarchical_);
        demand(traffic.dispatches == calls && traffic.combines == calls, "wrong numbers of calls");
        demand(traffic.dispatchBytesInsideNode == calls * wanted.dispatch_inside &&
                   traffic.dispatchBytesLeavingNode == calls * wanted.dispatch_leaving,
               "dispatch: wrong bytes inside the node or leaving it");
        demand(traffic.combineBytesInsideNode == calls * wanted.combine_inside &&
                   traffic.combineBytesLeavingNode == calls * wanted.combine_leaving,
               "combine: wrong bytes inside the node or leaving it");
    }

    // NaN equals itself here.
    void check_weight(float told, float wanted, const std::string& at) const {
        demand(std::memcmp(&told, &wanted, sizeof told) == 0, "wrong weight of " + at);
    }

    void dispatch(int round) const {
        const std::size_t token_size = element_bytes(moe_.token_type()), size = element_bytes(moe_.dispatch_type());
        const std::size_t hidden = moe_.hidden(), tokens = moe_.tokens(rank_);
        const std::size_t scales = moe_.is_quantised() ? moe_.scales() : 0;
        const GuardedBuffer in(tokens * hidden * token_size, token_size, memory_);
        const GuardedBuffer in_scales(tokens * scales * 4, 4, memory_);
        const GuardedBuffer out(expected_.size() * hidden * size, size, memory_);
        const GuardedBuffer out_scales(expected_.size() * scales * 4, 4, memory_);
        for (std::size_t t = 0; t < tokens; t++) {
            const auto token = static_cast<std::int64_t>(t);
            for (std::size_t e = 0; e < hidden; e++)
                put(in.data() + (t * hidden + e) * token_size, moe_.token_element(rank_, token, e, round), token_size);
            for (std::size_t i = 0; i < scales; i++)
                put(in_scales.data() + (t * scales + i) * 4, moe_.token_scale(rank_, token, i, round), 4);
        }
        if (moe_.is_quantised())
            require(tenonMoeDispatchQuantised(
                handle_, in.data(),
                moe_.tokens_are_codes() ? reinterpret_cast<const float*>(in_scales.data()) : nullptr, out.data(),
                reinterpret_cast<float*>(out_scales.data()), expected_.size(), nullptr));
        else
            require(tenonMoeDispatch(handle_, in.data(), out.data(), expected_.size(), nullptr));
        for (const GuardedBuffer* buffer : {&out, &out_scales})
            if (auto damage = buffer->damage()) throw std::runtime_error("dispatch: " + *damage);
        for (std::size_t i = 0; i < expected_.size(); i++) {
            const MoeRow& row = expected_[i];
            const auto wanted = row.rank < 0 ? std::vector<std::uint64_t>(hidden + scales)
                                             : moe_.arriving(row.rank, row.token, round);
            for (std::size_t e = 0; e < hidden; e++)
                demand(get(out.data() + (i * hidden + e) * size, size) == wanted[e],
                       "dispatch: element " + std::to_string(e) + " of row " + std::to_string(i) + " is wrong");
            for (std::size_t e = 0; e < scales; e++)
                demand(get(out_scales.data() + (i * scales + e) * 4, 4) == wanted[hidden + e],
                       "dispatch: scale " + std::to_string(e) + " of row " + std::to_string(i) + " is wrong");
        }
    }

    void combine(int round, bool weighted) const {
        const std::size_t size = element_bytes(moe_.combine_type()), tokens = moe_.tokens(rank_);
        const GuardedBuffer in(expected_.size() * moe_.hidden() * size, size, memory_);
        const GuardedBuffer out(tokens * moe_.hidden() * size, size, memory_);
        // Padding keeps the guard's bytes, which no sum may see.
        for (std::size_t i = 0; i < expected_.size(); i++)
            for (std::size_t e = 0; e < moe_.hidden() && expected_[i].rank >= 0; e++)
                put(in.data() + (i * moe_.hidden() + e) * size, moe_.expert_element(rank_, expected_[i], e, round),
                    size);
        require(tenonMoeCombine(handle_, in.data(), out.data(), weighted ? 1 : 0, nullptr));
        if (auto damage = out.damage()) throw std::runtime_error("combine: " + *damage);
        for (std::size_t t = 0; t < tokens; t++) {
            const auto wanted = moe_.combined(rank_, static_cast<std::int64_t>(t), weighted, round);
            for (std::size_t e = 0; e < moe_.hidden(); e++)
                demand(get(out.data() + (t * moe_.hidden() + e) * size, size) == wanted[e],
                       "combine: element " + std::to_string(e) + " of token " + std::to_string(t) + " is wrong");
        }
    }

    const MoeCase& moe_;
    tenonComm_t comm_;
    int rank_;
    std::vector<MoeRow> expected_;
    Memory memory_;
    bool hierarchical_ = false;
    tenonMoeGroup_t group_ = nullptr;
    tenonMoeHandle_t handle_ = nullptr;
};

}  // namespace

std::string run_moe_case(const MoeCase& moe, tenonComm_t comm, int rank) {
    try {
        RankOfCase(moe, comm, rank).run();
        return "";
    } catch (const std::exception& problem) {
        return "rank " + std::to_string(rank) + ": " + problem.what();
    }
}

}  // namespace tenon::support
