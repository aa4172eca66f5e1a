// Any bytes as an HCCL rank table or topology file: an Error that names the file, or a map that goes through all that
// is done with maps; never a crash. A zero byte parts a rank table of version 2.0 from its topology file.
#include "tests/fuzz/maps.hpp"
#include "topology/files/readers.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string_view file{reinterpret_cast<const char*>(bytes), size};
    const std::size_t end = file.find('\0');
    if (end != std::string_view::npos) {
        const tenon::topology_files::Companion topology{file.substr(end + 1), "fuzz"};
        tenon::fuzz::use(tenon::topology_files::read_rank_table_v2(file.substr(0, end), "fuzz", &topology));
        return 0;
    }
    tenon::fuzz::use(tenon::topology_files::read_rank_table_v1(file, "fuzz"));
    tenon::fuzz::use(tenon::topology_files::read_rank_table_v2(file, "fuzz", nullptr));
    tenon::fuzz::use(tenon::topology_files::read_rank_topology(file, "fuzz"));
    return 0;
}
