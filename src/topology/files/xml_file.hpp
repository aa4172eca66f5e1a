// XML files, read element by element: every complaint names the file, the line, the element and the reason.
#pragma once

#include <cstdint>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tenon/plugin/types.hpp"
#include "topology/map.hpp"

namespace tenon::topology_files {

inline constexpr std::size_t max_xml_bytes = 64u << 20;
inline constexpr unsigned max_element_depth = 96;

class XmlReader {
public:
    XmlReader(std::string_view bytes, std::string_view file);

    // The outermost element, which must have this name.
    pugi::xml_node load(const char* name);

    // Keeps the first thing that is wrong; all that follows reads as its default.
    void refuse(pugi::xml_node node, std::string_view why);
    bool is_refused() const { return error_.has_value(); }
    std::unexpected<Error> error() const { return std::unexpected(*error_); }
    // Tells what the builder thinks of the element that was just given to it.
    void note(pugi::xml_node node, const MapBuilder& builder);

    std::string_view text(pugi::xml_node node, const char* name);  // refused where it is missing
    // Whole numbers, decimal or 0x...; `or_else` where there is none.
    std::int64_t number(pugi::xml_node node, const char* name, std::int64_t or_else, std::int64_t low,
                        std::int64_t high);
    // A number that may have a fraction.
    double decimal(pugi::xml_node node, const char* name, double or_else, double high);

private:
    std::size_t line_at(std::ptrdiff_t offset) const;
    void refuse_at(std::size_t line, std::string_view why);

    std::string_view bytes_;
    std::string file_;
    std::vector<std::ptrdiff_t> line_ends_;
    pugi::xml_document document_;
    std::optional<Error> error_;
};

// Names of places from whatever a file calls its things: no / in it, no control characters, not empty, not too long,
// and no other of the parent's.
class PlaceNames {
public:
    std::string name_for(PlaceIndex parent, std::string_view wanted);

private:
    std::unordered_map<std::string, unsigned> taken_;
};

// A fact from a file's text, which may hold anything: what is no plain text is left out.
void set_fact_if_plain(MapBuilder& builder, PlaceIndex place, std::string_view name, std::string_view value);

}  // namespace tenon::topology_files
