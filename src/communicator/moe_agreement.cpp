#include "communicator/moe_agreement.hpp"

#include <fmt/format.h>

namespace tenon {
namespace {

std::uint64_t hash_of(std::span<const std::int32_t> values) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const std::int32_t v : values) hash = (hash ^ static_cast<std::uint32_t>(v)) * 0x100000001b3u;
    return hash;
}

// What must be the same on every rank, in the order in which differences are told.
struct AgreedField {
    const char* name;
    std::uint64_t value;
};
using AgreedFields = std::array<AgreedField, std::tuple_size_v<AgreedValues>>;
AgreedFields agreed_fields(const MoeShape& s) {
    return {{{"experts", s.experts},
             {"topK", s.top_k},
             {"hidden", s.hidden},
             {"maxTokens", s.most_tokens},
             {"tokenType", static_cast<std::uint64_t>(s.token_type)},
             {"dispatchType", static_cast<std::uint64_t>(s.dispatch_type)},
             {"combineType", static_cast<std::uint64_t>(s.combine_type)},
             {"partialType", static_cast<std::uint64_t>(s.partial_type)},
             {"layout", static_cast<std::uint64_t>(s.layout)},
             {"path", static_cast<std::uint64_t>(s.path)},
             {"windowBytes", s.window_bytes},
             {"alignment", s.alignment},
             {"placesPerRank", s.places_per_rank},
             {"the length of the placement", s.placement.size()},
             {"a placement with the hash", hash_of(s.placement)},
             {"dropMissing", s.drops_missing ? 1U : 0U},
             {"masked ranks with the hash", hash_of_mask(s)}}};
}

}  // namespace

std::uint64_t hash_of_mask(const MoeShape& shape) {
    return hash_of(std::vector<std::int32_t>(shape.masked.begin(), shape.masked.end()));
}

AgreedValues agreed_values(const MoeShape& shape) {
    const AgreedFields fields = agreed_fields(shape);
    AgreedValues values{};
    for (std::size_t f = 0; f < fields.size(); f++) values[f] = fields[f].value;
    return values;
}

Result<void> compare_agreed(const MoeShape& shape, std::span<const std::uint64_t> everybody, Rank rank,
                            Rank rank_count) {
    const AgreedFields fields = agreed_fields(shape);
    for (std::size_t f = 0; f < fields.size(); f++)
        for (Rank r = 1; r < rank_count; r++) {
            const std::uint64_t first = everybody[f],
                                other = everybody[static_cast<std::size_t>(r) * fields.size() + f];
            if (first == other) continue;
            return fail(
                Status::mismatch,
                fmt::format("rank {}: MoE group: rank 0 has {} {}, but rank {} has {}; every rank must give the "
                            "same configuration",
                            rank, fields[f].name, first, r, other));
        }
    return {};
}

}  // namespace tenon
