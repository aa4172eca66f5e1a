#include "tests/unit/reduction_elements.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "tests/unit/reduction_reference.hpp"

namespace tenon {

std::uint64_t ElementView::operator[](std::size_t i) const {
    std::uint64_t bits = 0;  // the machines Tenon runs on are little-endian
    std::memcpy(&bits, data_ + i * element_bytes(type_), element_bytes(type_));
    return bits;
}

void ElementView::set(std::size_t i, std::uint64_t bits) const {
    std::memcpy(data_ + i * element_bytes(type_), &bits, element_bytes(type_));
}

std::vector<std::byte> random_elements(DataType type, std::size_t count, std::mt19937_64& random) {
    const std::vector<std::uint64_t> specials = reference::special_elements(type);
    std::vector<std::uint64_t> finite_specials;
    std::ranges::copy_if(specials, std::back_inserter(finite_specials),
                         [type](std::uint64_t bits) { return reference::is_finite(type, bits); });
    std::normal_distribution<double> normal;
    std::vector<std::byte> bytes(count * element_bytes(type));
    const ElementView elements{type, bytes.data()};
    for (std::size_t i = 0; i < count; ++i) {
        switch (i % 4) {
            case 0:
                elements.set(i, reference::is_float(type) ? reference::nearest(type, normal(random)) : random());
                break;
            case 1:
                elements.set(i, finite_specials[random() % finite_specials.size()]);
                break;
            case 2:
                elements.set(i, specials[random() % specials.size()]);
                break;
            default:
                elements.set(i, random());
                break;
        }
    }
    return bytes;
}

std::vector<std::byte> reference_result(DataType type, ReduceOp op, std::span<const std::vector<std::byte>> sources,
                                        double divisor) {
    std::vector<std::byte> bytes(sources[0].size());
    const ElementView result{type, bytes.data()};
    std::vector<std::uint64_t> elements(sources.size());
    for (std::size_t i = 0; i < bytes.size() / element_bytes(type); ++i) {
        for (std::size_t source = 0; source < sources.size(); ++source) {
            elements[source] = ElementView{type, sources[source].data()}[i];
        }
        result.set(i, reference::reduce(type, op, elements, divisor));
    }
    return bytes;
}

}  // namespace tenon
