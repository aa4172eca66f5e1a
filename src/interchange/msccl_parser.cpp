// Parses the XML into a Program: form, numbers and numbering. What refers to something else is resolved by link().
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <pugixml.hpp>

#include "interchange/msccl_program.hpp"

namespace tenon::msccl {
namespace {

struct KindName {
    std::string_view name;
    StepKind kind;
};
constexpr std::array<KindName, 9> kinds{{{"s", StepKind::send},
                                         {"r", StepKind::receive},
                                         {"rcs", StepKind::receive_send},
                                         {"rrc", StepKind::receive_reduce},
                                         {"rrs", StepKind::receive_reduce_send},
                                         {"rrcs", StepKind::receive_reduce_copy_send},
                                         {"cpy", StepKind::copy},
                                         {"re", StepKind::reduce},
                                         {"nop", StepKind::nothing}}};

// The file's maximum where it gives none: what the first MSCCL runtime assumes.
constexpr std::uint64_t default_max_bytes = std::uint64_t{128} << 20;

// Reads attributes of elements. The first thing that is wrong is kept, and all that follows reads as zero, so that the
// code that asks need not check each answer.
class Reader {
public:
    Reader(std::string_view xml, std::string_view file) : file_(file) {
        for (std::size_t at = 0; at < xml.size(); at++)
            if (xml[at] == '\n') line_ends_.push_back(static_cast<std::ptrdiff_t>(at));
    }

    std::uint32_t line_at(std::ptrdiff_t offset) const {
        return static_cast<std::uint32_t>(std::ranges::lower_bound(line_ends_, offset) - line_ends_.begin() + 1);
    }
    std::uint32_t line_of(pugi::xml_node node) const { return line_at(node.offset_debug()); }

    void refuse_at(std::uint32_t line, std::string_view why) {
        if (!error_) error_ = Error{Status::invalid_argument, fmt::format("{}:{}: {}", file_, line, why)};
    }
    void refuse(pugi::xml_node node, std::string_view why) {
        refuse_at(line_of(node), fmt::format("<{}>: {}", node.name(), why));
    }
    const std::optional<Error>& error() const { return error_; }

    std::string_view text(pugi::xml_node node, const char* name) {
        const pugi::xml_attribute attribute = node.attribute(name);
        if (!attribute) refuse(node, fmt::format("the attribute {} is missing", name));
        return attribute.value();
    }

    // A whole number from `low` to `high`.
    std::int64_t number(pugi::xml_node node, const char* name, std::int64_t low, std::int64_t high) {
        const std::string_view digits = text(node, name);
        if (error_) return 0;
        std::int64_t value = 0;
        const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (problem == std::errc{} && end == digits.data() + digits.size() && value >= low && value <= high)
            return value;
        refuse(node,
               fmt::format("{} is \"{}\", not a whole number from {} to {}", name, digits.substr(0, 32), low, high));
        return 0;
    }
    std::uint32_t count(pugi::xml_node node, const char* name, std::uint32_t low, std::uint32_t high) {
        return static_cast<std::uint32_t>(number(node, name, low, high));
    }
    std::optional<std::uint64_t> optional_bytes(pugi::xml_node node, const char* name) {
        if (!node.attribute(name)) return std::nullopt;
        return static_cast<std::uint64_t>(number(node, name, 0, INT64_MAX));
    }

    // The children named `name`, by the number in `key`, which must run from 0 without gaps, in any order. Any other
    // element but those in `ignored` is refused: what it means is not known.
    std::vector<pugi::xml_node> numbered_children(pugi::xml_node parent, std::string_view name, const char* key,
                                                  std::uint32_t limit, std::string_view ignored = {}) {
        std::vector<pugi::xml_node> found;
        for (const pugi::xml_node child : parent.children()) {
            if (child.type() != pugi::node_element || child.name() == ignored) continue;
            if (child.name() != name) {
                refuse_child(child, parent, name);
                return {};
            }
            if (found.size() == limit) refuse(child, fmt::format("more than {} of them in <{}>", limit, parent.name()));
            if (error_) return {};
            found.push_back(child);
        }
        std::vector<pugi::xml_node> in_order(found.size());
        for (const pugi::xml_node child : found) {
            const std::uint32_t id = count(child, key, 0, static_cast<std::uint32_t>(found.size()) - 1);
            if (!error_ && in_order[id]) refuse(child, fmt::format("{}=\"{}\" is given twice", key, id));
            if (error_) return {};
            in_order[id] = child;
        }
        return in_order;
    }

private:
    void refuse_child(pugi::xml_node child, pugi::xml_node parent, std::string_view expected) {
        if (std::string_view{child.name()} == "op")
            refuse(child,
                   "this is ncclize's newer form, <op step buf off ...>, which is not read; write it with <step>");
        else
            refuse(child, fmt::format("unknown element in <{}>, where <{}> is expected", parent.name(), expected));
    }

    std::string file_;
    std::vector<std::ptrdiff_t> line_ends_;
    std::optional<Error> error_;
};

// The collectives whose chunks the format defines.
std::optional<Collective> collective_of(std::string_view name) {
    const std::optional<Collective> collective = collective_named(name);
    if (!collective || name.ends_with("_perf")) return std::nullopt;
    switch (*collective) {
        case Collective::all_reduce:
        case Collective::reduce:
        case Collective::broadcast:
        case Collective::reduce_scatter:
        case Collective::all_gather:
        case Collective::all_to_all:
            return collective;
        default:
            return std::nullopt;
    }
}

bool is_cut_by_rank(Collective collective) {
    return collective == Collective::all_gather || collective == Collective::reduce_scatter ||
           collective == Collective::all_to_all;
}

void read_facts(Reader& reader, pugi::xml_node algo, MscclFacts& facts) {
    facts.name = reader.text(algo, "name");
    facts.protocol = reader.text(algo, "proto");
    if (facts.protocol != "Simple" && facts.protocol != "LL" && facts.protocol != "LL128")
        reader.refuse(algo, fmt::format("proto is \"{}\", not Simple, LL or LL128", facts.protocol.substr(0, 32)));
    const std::string_view coll = reader.text(algo, "coll");
    if (const auto collective = collective_of(coll))
        facts.collective = *collective;
    else
        reader.refuse(algo,
                      fmt::format("coll is \"{}\"; what can be read is allreduce, reduce, broadcast, reducescatter, "
                                  "allgather and alltoall",
                                  coll.substr(0, 32)));
    facts.in_place = reader.number(algo, "inplace", 0, 1) == 1;
    facts.out_of_place = !facts.in_place;
    if (algo.attribute("outofplace")) facts.out_of_place = reader.number(algo, "outofplace", 0, 1) == 1;
    if (!facts.in_place && !facts.out_of_place)
        reader.refuse(algo, "inplace and outofplace are both 0: it may never be used");
    facts.min_bytes.value = reader.optional_bytes(algo, "minBytes").value_or(0);
    facts.max_bytes.value = reader.optional_bytes(algo, "maxBytes").value_or(default_max_bytes);
    if (facts.max_bytes.value == 0) facts.max_bytes.value = UINT64_MAX;
    if (facts.min_bytes > facts.max_bytes) reader.refuse(algo, "minBytes is larger than maxBytes");
    facts.channels = reader.count(algo, "nchannels", 1, max_chunks);
}

void read_chunks(Reader& reader, pugi::xml_node algo, Program& program, std::uint32_t gpus) {
    program.chunks = reader.count(algo, "nchunksperloop", 1, max_chunks);
    program.pieces = program.chunks;
    if (reader.error() || !is_cut_by_rank(program.facts.collective)) return;
    if (program.chunks % gpus != 0)
        reader.refuse(algo,
                      fmt::format("nchunksperloop is {}, which {} gpus cannot share equally", program.chunks, gpus));
    program.pieces = program.chunks / gpus;
}

std::optional<BufferId> buffer_named(std::string_view name) {
    if (name == "i") return BufferId::input;
    if (name == "o") return BufferId::output;
    if (name == "s") return BufferId::scratch;
    return std::nullopt;
}

Place read_place(Reader& reader, pugi::xml_node node, const char* buffer_key, const char* offset_key) {
    const std::string_view name = reader.text(node, buffer_key);
    const auto buffer = buffer_named(name);
    if (!buffer) reader.refuse(node, fmt::format("{} is \"{}\", not i, o or s", buffer_key, name.substr(0, 32)));
    // -1 stands where there is no chunk; a step that needs one is refused when its bounds are checked.
    return {buffer.value_or(BufferId::input),
            static_cast<std::int32_t>(reader.number(node, offset_key, -1, max_chunks))};
}

class ProgramReader {
public:
    ProgramReader(Reader& reader, Program& program) : reader_(reader), program_(program) {}

    void read_gpu(pugi::xml_node node) {
        Gpu gpu{.input_chunks = reader_.count(node, "i_chunks", 0, max_chunks),
                .output_chunks = reader_.count(node, "o_chunks", 0, max_chunks),
                .scratch_chunks = reader_.count(node, "s_chunks", 0, max_chunks),
                .first_thread_block = static_cast<std::uint32_t>(program_.thread_blocks.size()),
                .line = reader_.line_of(node)};
        const auto thread_blocks = reader_.numbered_children(node, "tb", "id", max_thread_blocks, "copy");
        gpu.thread_block_count = static_cast<std::uint32_t>(thread_blocks.size());
        program_.gpus.push_back(gpu);
        for (const pugi::xml_node thread_block : thread_blocks)
            if (!reader_.error()) read_thread_block(thread_block);
    }

private:
    void read_thread_block(pugi::xml_node node) {
        const Gpu& gpu = program_.gpus.back();
        const auto steps = reader_.numbered_children(node, "step", "s", max_steps);
        program_.thread_blocks.push_back(
            {.gpu = program_.rank_count() - 1,
             .id = static_cast<std::uint32_t>(program_.thread_blocks.size()) - gpu.first_thread_block,
             .send = static_cast<Rank>(reader_.number(node, "send", -1, max_gpus)),
             .receive = static_cast<Rank>(reader_.number(node, "recv", -1, max_gpus)),
             .channel = read_channel(node),
             .first_step = static_cast<StepIndex>(program_.steps.size()),
             .step_count = static_cast<std::uint32_t>(steps.size()),
             .line = reader_.line_of(node)});
        for (const pugi::xml_node step : steps)
            if (!reader_.error()) read_step(step);
    }

    Channel read_channel(pugi::xml_node node) {
        const std::uint32_t channel = reader_.count(node, "chan", 0, program_.facts.channels - 1);
        if (channel >= max_channels)
            reader_.refuse(node, fmt::format("chan is {}, but a plan has {} channels, from 0", channel, max_channels));
        return static_cast<Channel>(channel);
    }

    void read_step(pugi::xml_node node) {
        const std::string_view type = reader_.text(node, "type");
        const auto kind = std::ranges::find(kinds, type, &KindName::name);
        if (kind == kinds.end()) {
            reader_.refuse(
                node, fmt::format("type is \"{}\", not s, r, rcs, rrc, rrs, rrcs, cpy, re or nop", type.substr(0, 32)));
            return;
        }
        ProgramStep step{.kind = kind->kind,
                         .thread_block = static_cast<std::uint32_t>(program_.thread_blocks.size()) - 1,
                         .line = reader_.line_of(node)};
        if (step.kind != StepKind::nothing) {
            step.source = read_place(reader_, node, "srcbuf", "srcoff");
            step.destination = read_place(reader_, node, "dstbuf", "dstoff");
            step.count = reader_.count(node, "cnt", 1, max_chunks);
        }
        read_wait(node, step);
        program_.steps.push_back(step);
        moves_ += step.count;
        if (moves_ > max_moves)
            reader_.refuse(node, fmt::format("the steps up to here move more than {} chunks", max_moves));
    }

    // The step waited for may lie in a thread block that is not read yet: it is resolved by link().
    void read_wait(pugi::xml_node node, ProgramStep& step) {
        const std::int64_t thread_block = reader_.number(node, "depid", -1, max_thread_blocks);
        const std::int64_t index = reader_.number(node, "deps", -1, max_steps);
        if ((thread_block < 0) != (index < 0))
            reader_.refuse(node, "depid and deps are given together, or both are -1");
        if (thread_block >= 0)
            step.wait = StepRef{static_cast<std::uint32_t>(thread_block), static_cast<std::uint32_t>(index)};
    }

    Reader& reader_;
    Program& program_;
    std::uint64_t moves_ = 0;
};

std::unexpected<Error> refuse_file(std::string_view file, std::uint32_t line, std::string_view why) {
    return fail(Status::invalid_argument, fmt::format("{}:{}: {}", file, line, why));
}

}  // namespace

std::string_view msccl_name_of(StepKind kind) {
    const auto found = std::ranges::find(kinds, kind, &KindName::kind);
    return found == kinds.end() ? name_of(kind) : found->name;
}

Result<Program> parse_msccl(std::string_view xml, std::string_view file) {
    if (xml.size() > max_file_bytes)
        return fail(Status::invalid_argument,
                    fmt::format("{}: {} bytes; an MSCCL file has {} at most", file, xml.size(), max_file_bytes));
    Reader reader{xml, file};
    pugi::xml_document document;
    const pugi::xml_parse_result parsed =
        document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
    if (!parsed)
        return refuse_file(file, reader.line_at(parsed.offset),
                           fmt::format("not well-formed XML: {}", parsed.description()));
    const pugi::xml_node algo = document.document_element();
    for (const pugi::xml_node outermost : document.children())
        if (outermost.type() == pugi::node_element &&
            (outermost != algo || outermost.name() != std::string_view{"algo"}))
            return refuse_file(file, reader.line_of(outermost),
                               fmt::format("<{}>: a file is one <algo> element", outermost.name()));

    Program program;
    program.file = file;
    read_facts(reader, algo, program.facts);
    const std::uint32_t gpu_count = reader.count(algo, "ngpus", 1, max_gpus);
    if (!reader.error()) read_chunks(reader, algo, program, gpu_count);
    if (reader.error()) return std::unexpected(*reader.error());
    const auto gpus = reader.numbered_children(algo, "gpu", "id", max_gpus);
    if (!reader.error() && gpus.size() != gpu_count)
        reader.refuse(algo, fmt::format("ngpus is {}, but there are {} <gpu>", gpu_count, gpus.size()));
    ProgramReader programs{reader, program};
    for (const pugi::xml_node gpu : gpus)
        if (!reader.error()) programs.read_gpu(gpu);
    if (reader.error()) return std::unexpected(*reader.error());
    if (const Result<void> linked = link_msccl(program); !linked) return std::unexpected(linked.error());
    return program;
}

}  // namespace tenon::msccl
