// Ranks on several hosts: `tenon run --hosts a:4,b:4`. On each host an agent (ssh, or another program that takes a host
// and a command line) starts `tenon run` again for that host's part, whose standard input is its lifeline: when it
// ends, because this process or the connection has, so do the ranks there. Its first line names the job: the job's
// secret follows from that name, and every user of a host can read command lines.
#pragma once

#include <string>
#include <vector>

#include "config/environment.hpp"
#include "tenon/plugin/types.hpp"

namespace tenon {

struct HostPart {
    std::string host;
    Rank first_rank = 0;
    Rank rank_count = 1;
};

// "a:4,b:4,c,[fd00::1]:4,fd00::2" (one rank where no number is given). An error says what is wrong with it.
Result<std::vector<HostPart>> parse_hosts(const std::string& list);

// Where all of these hosts find the first: what it is called, or, if that means another host on each (localhost), this
// host's address of the interface that is wanted (TENON_SOCKET_INTERFACE), or of its usual one.
Result<std::string> address_of_first(const std::vector<HostPart>& hosts, std::string_view interface);

struct RemoteRun {
    std::vector<HostPart> hosts;
    std::string first_address;
    std::string agent = "ssh -o BatchMode=yes";
    std::string program;                // of tenon itself, there
    std::string folder;                 // to start in
    std::vector<std::string> exported;  // NAME=value, for the ranks
    bool prefix_output = true;
    int grace_ms = 5000;
    std::vector<std::string> command;
};

// What the agent is started with for one host: its own words, the host, and one line for a shell there.
std::vector<std::string> agent_command(const RemoteRun& run, const HostPart& part);

// The first line of a lifeline, at its two ends.
Result<void> write_job_name(int lifeline, std::string_view job);
Result<std::string> read_job_name(int lifeline);

// NAME=value of each TENON_ variable, and of those that are asked for by name or given whole.
Result<std::vector<std::string>> exported_variables(const Environment& environment,
                                                    const std::vector<std::string>& asked);

}  // namespace tenon
