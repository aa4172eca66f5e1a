#include "library/joined_transport.hpp"

namespace tenon {

Error JoinedTransport::no_board() {
    return {Status::internal_error, "a plan writes to all ranks at once, but not all of them share memory"};
}

}  // namespace tenon
