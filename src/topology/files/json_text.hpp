// A JSON file's text, looked at without a parser: how deep it is nested, and on which line an element stands, which no
// parsed value knows any more. Lines are counted from 1; comments (// and /* */) are blanks.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace tenon::topology_files {

// Of the first bracket that lies inside more than `most` others.
std::optional<std::size_t> line_deeper_than(std::string_view bytes, std::size_t most);

// What follows is for bytes that have been parsed without a complaint.

// Of the element that a JSON pointer names or, where there is none, of the innermost on the way to it.
std::size_t line_of_element(std::string_view bytes, std::string_view pointer);

// Of a key, by how many come before it in the file.
std::size_t line_of_key(std::string_view bytes, std::size_t ordinal);

}  // namespace tenon::topology_files
