// Starts the ranks of an example as processes of this one; what a launcher (`tenon run`) would do for a real program.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <string>
#include <tenon/tenon.hpp>

// Calls program(communicator) in `rank_count` processes and returns 0 when all of them return true.
template <class Program>
int run_ranks(int rank_count, Program program, const tenon::Settings& settings = {}) {
    const std::string job = "example-" + std::to_string(getpid());
    int started = 0;
    for (int rank = 0; rank < rank_count; ++rank, ++started) {
        const pid_t child = fork();
        if (child < 0) {
            std::perror("fork");
            break;
        }
        if (child > 0) continue;
        bool right = false;
        try {
            // All ranks know the job's name, so nobody has to pass an id around.
            tenon::Communicator ranks(rank_count, tenon::unique_id_for_job(job), rank, settings);
            right = program(ranks);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "rank %d: %s\n", rank, error.what());
        }
        std::fflush(nullptr);
        _exit(right ? 0 : 1);
    }
    int succeeded = 0;
    for (int i = 0; i < started; ++i) {
        int status = 0;
        if (wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) ++succeeded;
    }
    return succeeded == rank_count ? 0 : 1;
}
