#include "perf/devices/ranks.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace tenon::perf {
namespace {

constexpr std::uint64_t patience_ms = 120'000;

}  // namespace

Result<std::vector<std::vector<std::byte>>> DevicePerfRank::introduce(std::span<const std::byte> own) {
    const auto deadline = os::Deadline::after_ms(patience_ms);
    std::vector<std::vector<std::byte>> all(static_cast<std::size_t>(rank_count_));
    all[static_cast<std::size_t>(rank_)].assign(own.begin(), own.end());
    // An empty message would tell nobody that all are there.
    std::byte here{};
    if (rank_ != 0) {
        for (const auto part : {own, std::span<const std::byte>{&here, 1}})
            if (auto sent = sockets_[0].send(part, deadline); !sent) return std::unexpected(sent.error());
        for (auto& bytes : all) {
            bytes.resize(own.size());
            if (auto got = sockets_[0].receive(bytes, deadline); !got) return std::unexpected(got.error());
        }
        if (auto got = sockets_[0].receive({&here, 1}, deadline); !got) return std::unexpected(got.error());
        return all;
    }
    for (std::size_t peer = 1; peer < all.size(); peer++) {
        all[peer].resize(own.size());
        for (const auto part : {std::span{all[peer]}, std::span{&here, 1}})
            if (auto got = sockets_[peer].receive(part, deadline); !got) return std::unexpected(got.error());
    }
    for (std::size_t peer = 1; peer < all.size(); peer++) {
        for (const auto& bytes : all)
            if (auto sent = sockets_[peer].send(bytes, deadline); !sent) return std::unexpected(sent.error());
        if (auto sent = sockets_[peer].send({&here, 1}, deadline); !sent) return std::unexpected(sent.error());
    }
    return all;
}

Result<double> DevicePerfRank::largest(double own) {
    const auto all = introduce(std::as_bytes(std::span{&own, 1}));
    if (!all) return std::unexpected(all.error());
    for (const auto& bytes : *all) {
        double other = 0;
        std::memcpy(&other, bytes.data(), sizeof other);
        own = std::max(own, other);
    }
    return own;
}

int run_device_ranks(Rank rank_count, const std::function<Result<void>(DevicePerfRank&)>& body) {
    std::vector<std::pair<os::LocalSocket, os::LocalSocket>> pairs;
    for (Rank rank = 0; rank < rank_count; rank++) {
        auto pair = os::LocalSocket::pair();
        if (!pair) {
            std::fprintf(stderr, "%s\n", pair.error().message.c_str());
            return 1;
        }
        pairs.push_back(std::move(*pair));
    }
    std::vector<pid_t> children;
    for (Rank rank = 0; rank < rank_count; rank++) {
        const pid_t child = fork();
        if (child != 0) {
            children.push_back(child);
            continue;
        }
        DevicePerfRank own;
        own.rank_ = rank;
        own.rank_count_ = rank_count;
        if (rank == 0)
            for (auto& [root, other] : pairs) own.sockets_.push_back(std::move(root));
        else
            own.sockets_.push_back(std::move(pairs[static_cast<std::size_t>(rank)].second));
        // Others' ends are closed here, so that a rank that leaves is noticed.
        pairs.clear();
        const auto done = body(own);
        if (!done) std::fprintf(stderr, "rank %d: %s\n", rank, done.error().message.c_str());
        std::fflush(nullptr);
        _exit(done ? 0 : 1);
    }
    pairs.clear();
    bool all_well = true;
    for (const pid_t child : children) {
        int status = 0;
        waitpid(child, &status, 0);
        all_well = all_well && child > 0 && status == 0;
    }
    return all_well ? 0 : 1;
}

}  // namespace tenon::perf
