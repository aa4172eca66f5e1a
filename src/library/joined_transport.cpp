#include "library/joined_transport.hpp"

#include "transports/mirrors/peers.hpp"

namespace tenon {

Error JoinedTransport::no_board() {
    return {Status::internal_error, "a plan writes to all ranks at once, but not all of them share memory"};
}

Connection& JoinedTransport::connection(Rank peer) {
    Network* const network = remote_.by_rank[static_cast<std::size_t>(peer)];
    return network != nullptr ? network->connection(peer) : local_->connection(peer);
}

ByteCount JoinedTransport::slot_memory() const {
    ByteCount taken = local_->slot_memory();
    for (const auto& network : remote_.made) taken.value += network->slot_memory().value;
    return taken;
}

Result<bool> JoinedTransport::progress() {
    return ask_all(remote_.made, [](const auto& network) { return network->progress(); });
}

std::span<const int> JoinedTransport::wait_descriptors() const {
    for (std::size_t i = 0; i < remote_.made.size(); i++) wait_descriptors_[i] = remote_.made[i]->wait_descriptor();
    return wait_descriptors_;
}

std::string JoinedTransport::network_in_words() const {
    std::string words;
    for (const auto& network : remote_.made) words += (words.empty() ? "" : ", ") + network->in_words();
    return words;
}

Result<bool> JoinedTransport::finish_sending() {
    return ask_all(remote_.made, [](const auto& network) { return network->finish_sending(); });
}

bool JoinedTransport::prepare(std::span<std::byte> range) {
    bool prepared = false;
    for (const auto& network : remote_.made) prepared |= network->prepare(range);
    return prepared;
}

void JoinedTransport::withdraw() {
    for (const auto& network : remote_.made) network->withdraw();
}

}  // namespace tenon
