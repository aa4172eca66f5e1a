// What tests of readers ask of a file's text.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "topology/files/files.hpp"

namespace tenon {

inline Map read_or_fail(std::string_view bytes, const topology_files::Companion* companion = nullptr) {
    auto read = read_map(bytes, "f", companion);
    if (read) return std::move(read->map);
    ADD_FAILURE() << read.error().message;
    return *MapBuilder{"nothing", "nothing"}.finish();
}

inline std::string refusal_of(std::string_view bytes, const topology_files::Companion* companion = nullptr) {
    const auto read = read_map(bytes, "f", companion);
    return read ? "" : read.error().message;
}

// Every place as "path kind[ rank]", one a line.
inline std::string places_of(const Map& map) {
    std::string text;
    const auto paths = map.paths();
    for (std::uint32_t place = 0; place < map.place_count(); place++) {
        const MapPlace& described = map[PlaceIndex{place}];
        text += paths[place] + " " + described.kind;
        if (described.rank) text += " " + std::to_string(*described.rank);
        text += "\n";
    }
    return text;
}

// Every link as "path path kind count MB/s", one a line.
inline std::string links_of(const Map& map) {
    std::string text;
    for (const Link& link : map.links())
        text += map.path_of(link.from) + " " + map.path_of(link.to) + " " + link.kind + " " +
                std::to_string(link.count) + " " + std::to_string(link.bytes_per_s / 1'000'000) + "\n";
    return text;
}

// The fixture with one part of it replaced.
inline std::string changed(std::string_view text, std::string_view part, std::string_view by) {
    std::string whole{text};
    const std::size_t at = whole.find(part);
    EXPECT_NE(at, std::string::npos) << part;
    return at == std::string::npos ? whole : whole.replace(at, part.size(), by);
}

}  // namespace tenon
