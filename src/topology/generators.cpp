#include "topology/generators.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "topology/generators/machines.hpp"

namespace tenon {

std::span<const Generator> generators() {
    static const std::array all{machines::cloudmatrix384, machines::atlas_a2, machines::atlas_a3, machines::dgx_h100,
                                machines::fat_tree};
    return all;
}

const Generator* generator_named(std::string_view name) {
    const auto found = std::ranges::find(generators(), name, &Generator::name);
    return found == generators().end() ? nullptr : &*found;
}

std::uint64_t GeneratorValues::operator[](std::string_view name) const {
    const auto found = std::ranges::find(parameters_, name, &GeneratorParameter::name);
    TENON_ASSERT(found != parameters_.end(), "a generator asks for a parameter that it has not declared");
    return values_[static_cast<std::size_t>(found - parameters_.begin())];
}

Result<Map> generate(const Generator& generator, const GeneratorValues& values) {
    for (const GeneratorParameter& parameter : generator.parameters)
        if (const std::uint64_t value = values[parameter.name]; value < parameter.low || value > parameter.high)
            return fail(Status::invalid_argument, fmt::format("{}: {} is {}, not from {} to {}", generator.name,
                                                              parameter.name, value, parameter.low, parameter.high));
    return generator.make(values);
}

}  // namespace tenon
