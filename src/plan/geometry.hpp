// Where chunks lie, for who asks about many.
#pragma once

#include "tenon/plugin/plan.hpp"

namespace tenon {

// element_range() of plan.hpp, with what piece_elements() says of the request.
ElementRange element_range(const Chunk& chunk, std::uint32_t pieces, ElementCount count, ElementCount piece_length);

}  // namespace tenon
