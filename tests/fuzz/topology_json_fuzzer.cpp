// Any bytes as Tenon's own topology JSON: an Error that names the file, or a map that goes through all that is done
// with maps; never a crash.
#include "tests/fuzz/maps.hpp"
#include "topology/files/readers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string_view file{reinterpret_cast<const char*>(bytes), size};
    tenon::fuzz::use(tenon::topology_files::read_tenon_json(file, "fuzz"));
    return 0;
}
