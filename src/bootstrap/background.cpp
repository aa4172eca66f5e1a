#include "bootstrap/background.hpp"

#include <fmt/format.h>

#include "os/background.hpp"

namespace tenon::bootstrap {
namespace {

constexpr std::size_t server_limit = 256;
os::Background<Server> servers;

}  // namespace

Result<bool> serve_in_background(Post post) {
    if (servers.count() >= server_limit)
        return fail(Status::invalid_usage,
                    fmt::format("{} meetings of this process are not over yet: make one unique id per communicator, in "
                                "one of its processes",
                                server_limit));
    auto server = Server::create(std::move(post));
    if (!server) return std::unexpected(server.error());
    if (!*server) return false;
    if (auto started = servers.start(std::move(*server)); !started) return std::unexpected(started.error());
    return true;
}

}  // namespace tenon::bootstrap
