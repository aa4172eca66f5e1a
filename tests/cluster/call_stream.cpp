// One rank of a job that makes calls without end, every result of which is checked, until a call fails; then it says so
// in a line of JSON on standard output, leaves, and waits for "next NAME" on standard input to meet the others again
// under that name. Where the standard input of some rank ends meanwhile, all end their calls, well. Driven by
// faults_test.py. Exit status 3: some data was wrong.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tenon/tenon.hpp"
#include "tests/support/c_calls.hpp"
#include "tests/support/rank_processes.hpp"

namespace {

int number_of(const char* variable) {
    const char* value = std::getenv(variable);
    if (value == nullptr) throw std::runtime_error(std::string{variable} + " is not set: start this with `ranks`");
    return std::stoi(value);
}

std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count++;
    return count;
}

bool has_input_ended() {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    return ::poll(&input, 1, 0) == 1;
}

void say(const nlohmann::json& line) { std::cout << line.dump() << std::endl; }

class Wrong : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Memory that networks may know: what is large there they may write into straight away.
template <class T>
struct TenonMemory {
    using value_type = T;
    T* allocate(std::size_t count) {
        void* memory = nullptr;
        if (tenonMemAlloc(&memory, count * sizeof(T)) != tenonSuccess) throw std::bad_alloc();
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t) { static_cast<void>(tenonMemFree(memory)); }
    bool operator==(const TenonMemory&) const = default;
};

// The same calls on every rank.
class CallStream {
public:
    CallStream(tenon::Communicator& comm, std::uint64_t seed)
        : comm_(comm), rank_(comm.rank()), ranks_(comm.rank_count()), random_(seed) {}

    // Until one fails, which throws, or all are to end; how many there were.
    std::uint64_t run() {
        constexpr std::uint64_t between_looks = 8;
        for (std::uint64_t call = 1;; call++) {
            if (call % between_looks == 0 && is_some_input_at_its_end()) return call - 1;
            static constexpr std::size_t counts[] = {1, 16, 300, 5'000, 100'000};
            const std::size_t count = counts[random_() % std::size(counts)];
            // The first call connects every host to every other: what is cut has been there.
            switch (call == 1 ? 2 : random_() % 5) {
                case 0: all_reduce(call, count); break;
                case 1: all_gather(call, count); break;
                case 2: all_to_all(call, count); break;
                case 3: exchange(call, count); break;
                default: broadcast(call, count); break;
            }
            if (call == 1) say({{"event", "runs"}, {"rank", rank_}});
        }
    }

private:
    using Values = std::vector<std::uint64_t, TenonMemory<std::uint64_t>>;

    // What rank `from` sends to rank `to` in a call.
    static std::uint64_t value(std::uint64_t call, int from, int to) {
        return call * 1'000'003 + static_cast<std::uint64_t>(from) * 1009 + static_cast<std::uint64_t>(to) * 7;
    }
    static void expect(const Values& values, std::size_t first, std::size_t count, std::uint64_t wanted) {
        for (std::size_t i = first; i < first + count; i++)
            if (values[i] != wanted)
                throw Wrong(fmt::format("element {} is {} and not {}", i, values[i], wanted));
    }

    bool is_some_input_at_its_end() {
        Values own(1, has_input_ended() ? 1 : 0), all(1);
        comm_.all_reduce(own, all, tenonSum);
        return all[0] != 0;
    }

    void all_reduce(std::uint64_t call, std::size_t count) {
        Values in(count, value(call, rank_, 0)), out(count);
        comm_.all_reduce(in, out, tenonSum);
        std::uint64_t sum = 0;
        for (int r = 0; r < ranks_; r++) sum += value(call, r, 0);
        expect(out, 0, count, sum);
    }
    void all_gather(std::uint64_t call, std::size_t count) {
        Values in(count, value(call, rank_, 1)), out(count * static_cast<std::size_t>(ranks_));
        comm_.all_gather(in, out);
        for (int r = 0; r < ranks_; r++) expect(out, static_cast<std::size_t>(r) * count, count, value(call, r, 1));
    }
    void all_to_all(std::uint64_t call, std::size_t count) {
        Values in, out(count * static_cast<std::size_t>(ranks_));
        for (int r = 0; r < ranks_; r++) in.insert(in.end(), count, value(call, rank_, r));
        comm_.all_to_all(in, out);
        for (int r = 0; r < ranks_; r++)
            expect(out, static_cast<std::size_t>(r) * count, count, value(call, r, rank_));
    }
    // Straight between any two, whatever way an algorithm would go.
    void exchange(std::uint64_t call, std::size_t count) {
        std::vector<Values> in, out(static_cast<std::size_t>(ranks_), Values(count));
        for (int r = 0; r < ranks_; r++) in.emplace_back(count, value(call, rank_, r));
        tenon::group([&] {
            for (int r = 0; r < ranks_; r++) {
                comm_.send(in[static_cast<std::size_t>(r)], r);
                comm_.receive(out[static_cast<std::size_t>(r)], r);
            }
        });
        for (int r = 0; r < ranks_; r++) expect(out[static_cast<std::size_t>(r)], 0, count, value(call, r, rank_));
    }
    void broadcast(std::uint64_t call, std::size_t count) {
        const int root = static_cast<int>(call % static_cast<std::uint64_t>(ranks_));
        Values data(count, rank_ == root ? value(call, root, 2) : 0);
        comm_.broadcast(data, root);
        expect(data, 0, count, value(call, root, 2));
    }

    tenon::Communicator& comm_;
    int rank_, ranks_;
    std::mt19937_64 random_;
};

void run_one_job(const std::string& job, int rank, int ranks) {
    try {
        tenon::Communicator comm(ranks, tenon::unique_id_for_job(job), rank);
        const std::uint64_t calls = CallStream(comm, std::hash<std::string>{}(job)).run();
        say({{"event", "ended"}, {"rank", rank}, {"calls", calls}});
    } catch (const tenon::Exception& error) {
        say({{"event", "failed"},
             {"rank", rank},
             {"at_ms", tenon::support::now_ms()},
             {"status", tenon::support::name_of(error.result())},
             {"message", error.what()}});
    }
    say({{"event", "left"}, {"rank", rank}, {"descriptors", open_descriptors()}});
}

}  // namespace

int main() {
    try {
        const int rank = number_of("RANK"), ranks = number_of("WORLD_SIZE");
        say({{"event", "started"}, {"rank", rank}, {"process", ::getpid()}});
        for (std::string word, job; std::cin >> word >> job;) run_one_job(job, rank, ranks);
        return 0;
    } catch (const Wrong& wrong) {
        say({{"event", "wrong"}, {"message", wrong.what()}});
        return 3;
    } catch (const std::exception& problem) {
        std::cerr << "call_stream: " << problem.what() << "\n";
        return 2;
    }
}
