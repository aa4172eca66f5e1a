// Any bytes as what a rank of a job says: an Error that names who said it, or a report that is written and read back as
// equal and that a map can be made of, or refused; never a crash.
#include <cstdint>
#include <cstdlib>

#include "topology/files/job_report.hpp"

using namespace tenon;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const auto report = read_job_report({reinterpret_cast<const char*>(bytes), size}, "fuzz");
    if (!report) {
        if (!report.error().message.starts_with("fuzz")) std::abort();
        return 0;
    }
    const auto again = read_job_report(text_of(*report), "again");
    if (!again || *again != *report) std::abort();
    if (!report->machine) return 0;
    // As if each of three ranks on two like hosts had said so.
    const std::vector<JobHost> hosts{{"left", *report->machine}, {"right", *report->machine, "eth0", 125'000'000}};
    const std::vector<JobRank> ranks{{.host = 0, .reached = report->reached},
                                     {.host = 0, .reached = report->reached},
                                     {.host = 1, .reached = report->reached}};
    static_cast<void>(map_of_job(hosts, ranks));
    return 0;
}
