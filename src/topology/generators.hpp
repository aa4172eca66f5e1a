// Maps of named machines, made from parameters: for plans, prices and pictures of what one does not have.
//
// How to add one: a file in generators/ whose row names the sources of its figures, and a row in generators.cpp; the
// command line and the tests find it there.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "topology/map.hpp"

namespace tenon {

// A whole number; the unit is the last word of its name ("nic_mb_per_s": 10^6 bytes a second, each way).
struct GeneratorParameter {
    std::string_view name, help;
    std::uint64_t value, low, high;  // what it is where nothing is said, and what it may be
};

class GeneratorValues {
public:
    explicit GeneratorValues(std::span<const GeneratorParameter> parameters) : parameters_(parameters) {
        for (const GeneratorParameter& parameter : parameters) values_.push_back(parameter.value);
    }
    std::span<const GeneratorParameter> parameters() const { return parameters_; }
    std::uint64_t& operator[](std::size_t parameter) { return values_[parameter]; }
    // The generator's own parameters, by name.
    std::uint64_t operator[](std::string_view name) const;
    std::uint64_t bytes_per_s(std::string_view mb_per_s) const { return (*this)[mb_per_s] * 1'000'000; }

private:
    std::span<const GeneratorParameter> parameters_;
    std::vector<std::uint64_t> values_;
};

struct Generator {
    std::string_view name, summary;
    std::string_view sources;  // of its figures, for people
    std::span<const GeneratorParameter> parameters;
    Result<Map> (*make)(const GeneratorValues& values);
};

std::span<const Generator> generators();
const Generator* generator_named(std::string_view name);
// Refuses a value that is out of its parameter's range.
Result<Map> generate(const Generator& generator, const GeneratorValues& values);

}  // namespace tenon
