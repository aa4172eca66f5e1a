#include "transports/rdma/paces.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace tenon::rdma {
namespace {

constexpr double kept = 7.0 / 8;  // of what was known before, with each write
// A path that is left alone has a message, perhaps in vain, for so much of what the quickest gets done meanwhile.
constexpr double tries_apart = 64;

// What its port claims to carry, in Mbit/s; at least 1.
std::uint64_t speed_of(const Path& path) {
    constexpr std::pair<int, std::uint64_t> lanes[] = {{1, 1}, {2, 4}, {4, 8}, {8, 12}, {16, 2}};
    constexpr std::pair<int, std::uint64_t> mbits[] = {{1, 2500},   {2, 5000},   {4, 10000},   {8, 10000},
                                                       {16, 14000}, {32, 25000}, {64, 50000}, {128, 100000}};
    const auto find = [](const auto& table, int code) {
        for (const auto& [known, value] : table)
            if (known == code) return value;
        return std::uint64_t{1};
    };
    const ibv_port_attr& port = path.device().port_facts();
    return find(lanes, port.active_width) * find(mbits, port.active_speed);
}

}  // namespace

void Paces::begins(const Path& path) {
    if (path.bytes_under_way() == 0) paces_[path.number()].since_ns = path.device().api().now_ns();
}

// When it was done lies between two looks: if they are close to each other beside what it has taken, it is known.
void Paces::written(const Path& path, std::uint32_t length) {
    Pace& pace = paces_[path.number()];
    const std::uint64_t now = path.device().polled_ns(), unknown = path.device().unknown_ns();
    const std::uint64_t taken = now - std::min(now, pace.since_ns);
    pace.since_ns = now;
    pace.has_begun = knows_one_ = true;
    if (length < spread_min_bytes || taken == 0 || unknown > taken / 2) return;
    pace.bytes = pace.bytes * kept + length;
    pace.ns = pace.ns * kept + static_cast<double>(taken - unknown / 2);
}

double Paces::worth_of_speed(std::span<const Path> paths) const {
    double worth = 0;
    for (const Path& path : paths) {
        const Pace& pace = paces_[path.number()];
        if (pace.ns > 0) worth = std::max(worth, pace.bytes / pace.ns / static_cast<double>(speed_of(path)));
    }
    return worth > 0 ? worth : 1;
}

std::array<double, most_paths> Paces::ns_per_byte(std::span<const Path> paths) const {
    const double worth = worth_of_speed(paths);
    std::array<double, most_paths> all{};
    for (const Path& path : paths) {
        const Pace& pace = paces_[path.number()];
        all[path.number()] =
            pace.ns > 0 ? pace.ns / pace.bytes : 1 / (worth * static_cast<double>(speed_of(path)));
    }
    return all;
}

bool Paces::should_wait(std::span<const Path> paths) const {
    if (knows_one_) return false;
    std::uint64_t most = 0;
    for (const Path& path : paths) most = path.is_open() ? std::max(most, speed_of(path)) : most;
    return std::ranges::all_of(paths, [&](const Path& path) {
        return !path.is_open() || speed_of(path) < most || path.bytes_under_way() != 0;
    });
}

// One that has done none yet has one write at a time.
std::uint32_t Paces::quickest(std::span<const Path> paths, std::uint32_t length, std::uint32_t main) {
    const auto per_byte = ns_per_byte(paths);
    const auto time_of = [&](std::uint32_t path) {
        const std::uint64_t before = paths[path].bytes_under_way();
        if (before != 0 && !paces_[path].has_begun) return std::numeric_limits<double>::max();
        return static_cast<double>(before + length) * per_byte[path];
    };
    std::uint32_t best = main;
    for (const Path& path : paths)
        if (path.is_open() && time_of(path.number()) < time_of(best)) best = path.number();
    for (const Path& path : paths)
        if (path.is_open() && is_due(path, paths[best], per_byte)) return choose(path.number());
    return choose(best);
}

// It may have become quicker; but where nothing else is under way, that does not matter.
bool Paces::is_due(const Path& path, const Path& best, const std::array<double, most_paths>& per_byte) const {
    return path.bytes_under_way() == 0 && best.bytes_under_way() != 0 &&
           static_cast<double>(paces_[path.number()].passed_over) * per_byte[best.number()] >
               tries_apart * per_byte[path.number()];
}

std::uint32_t Paces::choose(std::uint32_t path) {
    for (Pace& pace : paces_) pace.passed_over++;
    paces_[path].passed_over = 0;
    return path;
}

}  // namespace tenon::rdma
