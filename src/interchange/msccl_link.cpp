// Resolves what the steps of a parsed file refer to: chunks, peers, waits and the other end of every message.
//
// Messages match by their order: a thread block has one peer to send to and one to receive from on its channel, and no
// other thread block of its gpu shares them, so its i-th sending step meets the i-th receiving step at the other end.
#include <fmt/format.h>

#include <map>
#include <tuple>

#include "interchange/msccl_program.hpp"

namespace tenon::msccl {
namespace {

char letter_of(BufferId buffer) { return buffer == BufferId::input ? 'i' : buffer == BufferId::output ? 'o' : 's'; }

class Linker {
public:
    explicit Linker(Program& program) : program_(program) {}

    Result<void> link() {
        for (const Gpu& gpu : program_.gpus)
            if (!check_buffers(gpu)) return std::unexpected(error_);
        for (std::uint32_t at = 0; at < program_.thread_blocks.size(); at++)
            if (!check_peers(at)) return std::unexpected(error_);
        for (StepIndex step = 0; step < program_.steps.size(); step++)
            if (!check_chunks(step) || !resolve_wait(step)) return std::unexpected(error_);
        for (const auto& [route, sender] : senders_)
            if (!match(route, sender)) return std::unexpected(error_);
        for (const auto& [route, receiver] : receivers_)
            if (!senders_.contains(route) && !refuse_unmatched(receiving_steps(receiver).front(), "receives from"))
                return std::unexpected(error_);
        return {};
    }

private:
    using Route = std::tuple<Rank, Rank, Channel>;  // from, to

    bool refuse(std::string why) {
        error_ = {Status::invalid_argument, fmt::format("{}: {}", program_.file, why)};
        return false;
    }
    bool refuse(StepIndex step, std::string_view why) {
        return refuse(fmt::format("{} {}", program_.where(step), why));
    }

    // The file's bounds may be smaller than the buffers (0 where a buffer is not used), never larger.
    bool check_buffers(const Gpu& gpu) {
        const auto check = [&](std::string_view name, std::uint32_t chunks, std::uint32_t limit) {
            if (chunks <= limit) return true;
            return refuse(fmt::format("gpu {} (line {}): {} is {}, but {} chunks of {} over {} gpus leave {}",
                                      &gpu - program_.gpus.data(), gpu.line, name, chunks, program_.chunks,
                                      name_of(program_.facts.collective), program_.rank_count(), limit));
        };
        cells_ += std::uint64_t{input_chunks_of(program_)} + output_chunks_of(program_) + gpu.scratch_chunks;
        if (cells_ > max_cells) return refuse(fmt::format("the gpus' buffers have more than {} chunks", max_cells));
        return check("i_chunks", gpu.input_chunks, input_chunks_of(program_)) &&
               check("o_chunks", gpu.output_chunks, output_chunks_of(program_));
    }

    bool check_peers(std::uint32_t at) {
        const ThreadBlock& block = program_.thread_blocks[at];
        const auto named = [&](std::string_view why) {
            return refuse(fmt::format("gpu {} tb {} (line {}) {}", block.gpu, block.id, block.line, why));
        };
        for (const Rank peer : {block.send, block.receive}) {
            if (peer >= program_.rank_count())
                return named(fmt::format("has the peer {}, but ngpus is {}", peer, program_.rank_count()));
            if (peer == block.gpu) return named("has its own gpu as a peer");
        }
        return check_route(at, sending_steps(at), block.send, "send") &&
               check_route(at, receiving_steps(at), block.receive, "recv");
    }

    bool check_route(std::uint32_t at, const std::vector<StepIndex>& steps, Rank peer, std::string_view attribute) {
        if (steps.empty()) return true;
        const ThreadBlock& block = program_.thread_blocks[at];
        if (peer == no_rank)
            return refuse(steps.front(), fmt::format("needs a peer, but its tb has {}=\"-1\"", attribute));
        const bool sending = attribute == "send";
        auto& routes = sending ? senders_ : receivers_;
        const Route route = sending ? Route{block.gpu, peer, block.channel} : Route{peer, block.gpu, block.channel};
        const auto [other, is_new] = routes.emplace(route, at);
        if (is_new) return true;
        return refuse(
            steps.front(),
            fmt::format("and tb {} of its gpu both have {}=\"{}\" on channel {}: the order of their messages is open",
                        program_.thread_blocks[other->second].id, attribute, peer, block.channel));
    }

    bool check_chunks(StepIndex index) {
        const ProgramStep& step = program_.steps[index];
        const Gpu& gpu = program_.gpus[static_cast<std::size_t>(program_.thread_block_of(index).gpu)];
        const auto check = [&](std::string_view role, const Place& place) {
            const std::uint32_t chunks = place.buffer == BufferId::input    ? gpu.input_chunks
                                         : place.buffer == BufferId::output ? gpu.output_chunks
                                                                            : gpu.scratch_chunks;
            if (place.offset >= 0 && std::uint64_t(place.offset) + step.count <= chunks) return true;
            return refuse(index, fmt::format("has as its {} {} chunk(s) from {}, but {}_chunks is {}", role, step.count,
                                             name_of_chunk(place), letter_of(place.buffer), chunks));
        };
        return (!uses_source(step.kind) || check("source", step.source)) &&
               (!writes_destination(step.kind) || check("destination", step.destination));
    }

    bool resolve_wait(StepIndex index) {
        ProgramStep& step = program_.steps[index];
        if (!step.wait) return true;
        const Gpu& gpu = program_.gpus[static_cast<std::size_t>(program_.thread_block_of(index).gpu)];
        const auto [thread_block, of_step] = *step.wait;
        if (thread_block >= gpu.thread_block_count)
            return refuse(index,
                          fmt::format("waits for tb {}, but its gpu has {}", thread_block, gpu.thread_block_count));
        const ThreadBlock& other = program_.thread_blocks[gpu.first_thread_block + thread_block];
        if (of_step >= other.step_count)
            return refuse(index, fmt::format("waits for step {} of tb {}, which has {}", of_step, thread_block,
                                             other.step_count));
        step.waits_for = other.first_step + of_step;
        if (&other == &program_.thread_block_of(index) && step.waits_for >= index)
            return refuse(index, fmt::format("waits for step {} of its own tb: it would never start", of_step));
        return true;
    }

    bool match(const Route& route, std::uint32_t sender) {
        const std::vector<StepIndex> sent = sending_steps(sender);
        const auto receiver = receivers_.find(route);
        if (receiver == receivers_.end()) return refuse_unmatched(sent.front(), "sends to");
        const std::vector<StepIndex> received = receiving_steps(receiver->second);
        for (std::size_t i = 0; i < std::min(sent.size(), received.size()); i++) {
            ProgramStep& from = program_.steps[sent[i]];
            ProgramStep& to = program_.steps[received[i]];
            if (from.count != to.count)
                return refuse(sent[i], fmt::format("sends {} chunks, but {}, which receives them, expects {}",
                                                   from.count, program_.where(received[i]), to.count));
            from.receiver = received[i];
            to.sender = sent[i];
        }
        if (sent.size() > received.size())
            return refuse(sent[received.size()],
                          fmt::format("sends message {} to gpu {} on channel {}, which receives only {}", sent.size(),
                                      std::get<1>(route), std::get<2>(route), received.size()));
        if (received.size() > sent.size())
            return refuse(received[sent.size()],
                          fmt::format("receives message {} from gpu {} on channel {}, which sends only {}",
                                      received.size(), std::get<0>(route), std::get<2>(route), sent.size()));
        return true;
    }

    bool refuse_unmatched(StepIndex step, std::string_view does) {
        const ThreadBlock& block = program_.thread_block_of(step);
        const bool sending = does == "sends to";
        return refuse(step, fmt::format("{} gpu {} on channel {}, where no tb {} gpu {}", does,
                                        sending ? block.send : block.receive, block.channel,
                                        sending ? "receives from" : "sends to", block.gpu));
    }

    std::vector<StepIndex> steps_that(bool (*does)(StepKind), std::uint32_t thread_block) const {
        const ThreadBlock& block = program_.thread_blocks[thread_block];
        std::vector<StepIndex> found;
        for (StepIndex step = block.first_step; step < block.first_step + block.step_count; step++)
            if (does(program_.steps[step].kind)) found.push_back(step);
        return found;
    }
    std::vector<StepIndex> sending_steps(std::uint32_t at) const {
        return steps_that([](StepKind k) { return sends(k); }, at);
    }
    std::vector<StepIndex> receiving_steps(std::uint32_t at) const {
        return steps_that([](StepKind k) { return receives(k); }, at);
    }

    Program& program_;
    Error error_;
    std::uint64_t cells_ = 0;
    std::map<Route, std::uint32_t> senders_, receivers_;  // thread blocks
};

}  // namespace

std::string name_of_chunk(const Place& place, std::uint32_t nth) {
    return fmt::format("{}[{}]", letter_of(place.buffer), place.offset + static_cast<std::int32_t>(nth));
}

std::string Program::where(StepIndex step) const {
    const ThreadBlock& block = thread_block_of(step);
    return fmt::format("gpu {} tb {} step {} ({}, line {})", block.gpu, block.id, step - block.first_step,
                       msccl_name_of(steps[step].kind), steps[step].line);
}

std::uint32_t input_chunks_of(const Program& program) {
    return program.facts.collective == Collective::all_gather ? program.pieces : program.chunks;
}

std::uint32_t output_chunks_of(const Program& program) {
    return program.facts.collective == Collective::reduce_scatter ? program.pieces : program.chunks;
}

Result<void> link_msccl(Program& program) { return Linker{program}.link(); }

}  // namespace tenon::msccl
