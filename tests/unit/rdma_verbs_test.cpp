// What every network must do, with all ranks in this thread, over the RDMA device of the host that this runs on
// (tests/rdma_vm).
#include <gtest/gtest.h>

#include "tests/unit/network_cases.hpp"
#include "transports/rdma/rdma_network.hpp"

namespace tenon {

INSTANTIATE_TEST_SUITE_P(Verbs, NetworkCases,
                         ::testing::Values(NetworkKind{"as_usual",
                                                       [](NetworkFacts facts, const LinksFor& links_for) {
                                                           facts.introductions = introductions(links_for);
                                                           return rdma::RdmaNetwork::make(std::move(facts),
                                                                                          rdma::libibverbs());
                                                       }}),
                         [](const auto& row) { return row.param.name; });

}  // namespace tenon
