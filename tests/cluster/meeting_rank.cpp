// One rank, told by lines on standard input what to do; what happens it says in lines of JSON on standard output:
//   make          makes a unique id, and says it
//   meet ID       meets the others by an id that was made, or by job:NAME
//   call          an all-to-all, of which every pair is part; its result is checked
//   leave         ends what was met for
// Driven by meeting_test.py. Exit status 3: some data was wrong.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tenon/tenon.hpp"
#include "tests/support/c_calls.hpp"
#include "tests/support/rank_processes.hpp"

namespace {

int number_of(const char* variable) {
    const char* value = std::getenv(variable);
    if (value == nullptr) throw std::runtime_error(std::string{variable} + " is not set");
    return std::stoi(value);
}

void say(nlohmann::json line) {
    line["at_ms"] = tenon::support::now_ms();
    std::cout << line.dump() << std::endl;
}

std::string text_of(const tenonUniqueId& id) {
    std::string text;
    for (const char c : id.internal) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return text;
}

tenonUniqueId id_of(const std::string& text) {
    if (text.starts_with("job:")) return tenon::unique_id_for_job(text.substr(4));
    tenonUniqueId id;
    if (text.size() != 2 * sizeof id.internal) throw std::runtime_error("this is no unique id: " + text);
    for (std::size_t i = 0; i < sizeof id.internal; i++)
        id.internal[i] = static_cast<char>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
    return id;
}

bool call(tenon::Communicator& comm) {
    const auto ranks = static_cast<std::size_t>(comm.rank_count()), own = static_cast<std::size_t>(comm.rank());
    std::vector<std::uint64_t> in(ranks), out(ranks);
    for (std::size_t to = 0; to < ranks; to++) in[to] = own * 1000 + to;
    comm.all_to_all(in, out);
    for (std::size_t from = 0; from < ranks; from++)
        if (out[from] != from * 1000 + own) return false;
    return true;
}

}  // namespace

int main() {
    const int rank = number_of("RANK"), ranks = number_of("WORLD_SIZE");
    say({{"event", "started"}, {"process", ::getpid()}});
    std::optional<tenon::Communicator> comm;
    for (std::string word; std::cin >> word;) {
        try {
            if (word == "make") {
                say({{"event", "made"}, {"id", text_of(tenon::unique_id())}});
            } else if (word == "meet") {
                std::string id;
                std::cin >> id;
                comm.emplace(ranks, id_of(id), rank);
                say({{"event", "met"}});
            } else if (word == "call") {
                if (!comm) continue;  // it has not met
                if (!call(*comm)) return 3;
                say({{"event", "called"}});
            } else if (word == "leave") {
                comm.reset();
                say({{"event", "left"}});
            }
        } catch (const tenon::Exception& error) {
            say({{"event", "failed"},
                 {"status", tenon::support::name_of(error.result())},
                 {"message", error.what()}});
        }
    }
    return 0;
}
