// The loops that every kernel is made of: one pass over the elements, the widest vectors first.
//
// Included once per instruction set. The last elements go through ever narrower vectors down to a single lane, never
// through a load beyond the buffer or a second visit of an element (a destination may be a source): a call for two
// float32 is one 8-byte load per source and one 8-byte store.
#if defined(TENON_REDUCTION_LOOPS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TENON_REDUCTION_LOOPS_INL
#undef TENON_REDUCTION_LOOPS_INL
#else
#define TENON_REDUCTION_LOOPS_INL
#endif

#include <algorithm>
#include <type_traits>
#include <utility>

#include "base/assert.hpp"
#include "hwy/cache_control.h"
#include "reduction/floating_point_mode.hpp"
#include "reduction/kernels.hpp"
#include "reduction/number_formats-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tenon::HWY_NAMESPACE {

constexpr std::size_t line_bytes = 64;

struct Sum {
    template <class D>
    static HWY_INLINE hn::Vec<D> apply(D, hn::Vec<D> a, hn::Vec<D> b) {
        return hn::Add(a, b);
    }
};

struct Product {
    template <class D>
    static HWY_INLINE hn::Vec<D> apply(D, hn::Vec<D> a, hn::Vec<D> b) {
        return hn::Mul(a, b);
    }
};

// Where one float is NaN, so is the result. Equal floats differ at most in the sign of zero, which And and Or decide.
struct Maximum {
    template <class D>
    static HWY_INLINE hn::Vec<D> apply(D, hn::Vec<D> a, hn::Vec<D> b) {
        if constexpr (hwy::IsFloat<hn::TFromD<D>>()) {
            const auto larger = hn::IfThenElse(hn::Eq(a, b), hn::And(a, b), hn::IfThenElse(hn::Gt(a, b), a, b));
            return hn::IfThenElse(hn::IsNaN(a), a, larger);
        } else {
            return hn::Max(a, b);
        }
    }
};

struct Minimum {
    template <class D>
    static HWY_INLINE hn::Vec<D> apply(D, hn::Vec<D> a, hn::Vec<D> b) {
        if constexpr (hwy::IsFloat<hn::TFromD<D>>()) {
            const auto smaller = hn::IfThenElse(hn::Eq(a, b), hn::Or(a, b), hn::IfThenElse(hn::Lt(a, b), a, b));
            return hn::IfThenElse(hn::IsNaN(a), a, smaller);
        } else {
            return hn::Min(a, b);
        }
    }
};

// Two sources: nearly every call.
template <class Number, class Operation>
struct PairOfSources {
    static constexpr std::size_t narrowing = hwy::IsFloat<typename Number::Stored>() ? 2 : 4;

    const std::uint8_t* first;
    const std::uint8_t* second;

    template <class D>
    HWY_INLINE hn::Vec<D> operator()(D d, std::uint64_t i) const {
        const std::uint64_t offset = i * sizeof(typename Number::Stored);
        return Operation::apply(d, Number::load(d, first + offset), Number::load(d, second + offset));
    }
};

// Any number of sources, and the division. Every aligned pair is a subtree of its own; the subtrees merge as the bits
// of a binary counter carry, and what is left at the end folds from the right.
template <class Number, class Operation>
struct TreeOfSources {
    using Computed = typename Number::Computed;
    static constexpr std::size_t narrowing = 8;

    const void* const* sources;
    std::uint32_t count;
    double divisor;

    template <class D>
    HWY_INLINE hn::Vec<D> operator()(D d, std::uint64_t i) const {
        constexpr std::size_t lanes = hn::MaxLanes(D{});
        alignas(64) Computed subtrees[31 * lanes];  // as many as a 32-bit count can leave open
        Computed* top = subtrees;
        std::uint32_t source = 0;
        for (; count - source > 2; source += 2) {
            auto subtree = Operation::apply(d, load(d, source, i), load(d, source + 1, i));
            for (std::uint32_t carry = source / 2; (carry & 1) != 0; carry >>= 1) {
                top -= lanes;
                subtree = Operation::apply(d, hn::LoadU(d, top), subtree);
            }
            hn::StoreU(subtree, d, top);
            top += lanes;
        }
        auto result = load(d, source, i);
        if (count - source == 2) {
            result = Operation::apply(d, result, load(d, source + 1, i));
        }
        while (top != subtrees) {
            top -= lanes;
            result = Operation::apply(d, hn::LoadU(d, top), result);
        }
        return divided(d, result);
    }

private:
    template <class D>
    HWY_INLINE hn::Vec<D> load(D d, std::uint32_t source, std::uint64_t i) const {
        const std::uint64_t offset = i * sizeof(typename Number::Stored);
        return Number::load(d, static_cast<const std::uint8_t*>(sources[source]) + offset);
    }

    template <class D>
    HWY_INLINE hn::Vec<D> divided(D d, hn::Vec<D> lanes) const {
        if constexpr (hwy::IsFloat<Computed>()) {
            return divisor == 1 ? lanes : hn::Div(lanes, hn::Set(d, static_cast<Computed>(divisor)));
        } else {
            return lanes;
        }
    }
};

template <class Number>
struct Output {
    using Stored = typename Number::Stored;

    std::uint8_t* destination;
    std::uint8_t* second;

    template <class D>
    HWY_INLINE void store(D d, hn::Vec<D> lanes, std::uint64_t i) const {
        const auto encoded = Number::encode(d, lanes);
        store_unaligned(hn::Rebind<Stored, D>{}, encoded, destination + i * sizeof(Stored));
        store_second(hn::Rebind<Stored, D>{}, encoded, i);
    }
    // Where there is no second.
    template <class D>
    HWY_INLINE void store_alone(D d, hn::Vec<D> lanes, std::uint64_t i) const {
        store_unaligned(hn::Rebind<Stored, D>{}, Number::encode(d, lanes), destination + i * sizeof(Stored));
    }

    // `destination` is aligned for the vector, and `second` where it is streamed too.
    template <bool second_too, class D>
    HWY_INLINE void stream(D d, hn::Vec<D> lanes, std::uint64_t i) const {
        const auto encoded = Number::encode(d, lanes);
        hn::Stream(encoded, hn::Rebind<Stored, D>{}, reinterpret_cast<Stored*>(destination + i * sizeof(Stored)));
        if constexpr (second_too) {
            hn::Stream(encoded, hn::Rebind<Stored, D>{}, reinterpret_cast<Stored*>(second + i * sizeof(Stored)));
        } else {
            store_second(hn::Rebind<Stored, D>{}, encoded, i);
        }
    }

private:
    template <class D>
    HWY_INLINE void store_second(D stored, hn::Vec<D> encoded, std::uint64_t i) const {
        if (second != nullptr) {
            store_unaligned(stored, encoded, second + i * sizeof(Stored));
        }
    }
};

// output[i] = values(i) for begin <= i < end. Each width has a `narrowing`-th of the lanes of the width before:
// 2 where a small call must be quick, more where the code would grow for little.
template <class D, class Values, class Number>
HWY_INLINE void write_range(D d, const Values& values, const Output<Number>& output, std::uint64_t begin,
                            std::uint64_t end) {
    const std::size_t lanes = hn::Lanes(d);
    // Four at a time: how quick a loop of a few instructions and two branches is depends on where it lies, by a fifth
    // on a Milan.
    if constexpr (std::is_same_v<D, hn::ScalableTag<hn::TFromD<D>>>) {
        for (; output.second == nullptr && end - begin >= 4 * lanes; begin += 4 * lanes) {
            output.store_alone(d, values(d, begin), begin);
            output.store_alone(d, values(d, begin + lanes), begin + lanes);
            output.store_alone(d, values(d, begin + 2 * lanes), begin + 2 * lanes);
            output.store_alone(d, values(d, begin + 3 * lanes), begin + 3 * lanes);
        }
    }
    for (; end - begin >= lanes; begin += lanes) {
        output.store(d, values(d, begin), begin);
    }
    if constexpr (hn::MaxLanes(d) > 1) {
        constexpr std::size_t narrower = std::max<std::size_t>(hn::MaxLanes(D{}) / Values::narrowing, 1);
        write_range(hn::CappedTag<hn::TFromD<D>, narrower>{}, values, output, begin, end);
    }
}

// The same, lane by lane.
template <class Values, class Number>
HWY_NOINLINE void write_lanes(const Values values, const Output<Number> output, std::uint64_t begin,
                              std::uint64_t end) {
    write_range(hn::CappedTag<typename Number::Computed, 1>{}, values, output, begin, end);
}

HWY_INLINE std::uintptr_t in_its_line(const void* at) { return reinterpret_cast<std::uintptr_t>(at) % line_bytes; }

// The same with non-temporal stores, and lane by lane up to the first full line and after the last vector: a call that
// streams is a large one.
template <bool second_too, class D, class Values, class Number>
HWY_NOINLINE void stream_all(D d, const Values values, const Output<Number> output, std::uint64_t elements) {
    const std::size_t lanes = hn::Lanes(d);
    std::uint64_t i = (line_bytes - in_its_line(output.destination)) % line_bytes / sizeof(typename Number::Stored);
    write_lanes(values, output, 0, i);
    for (; elements - i >= lanes; i += lanes) {
        output.template stream<second_too>(d, values(d, i), i);
    }
    hwy::FlushStream();
    write_lanes(values, output, i, elements);
}

template <class Values, class Number>
HWY_INLINE void write_all(const Values& values, Output<Number> output, std::uint64_t elements,
                          [[maybe_unused]] bool stream, [[maybe_unused]] bool stream_second) {
    using Stored = typename Number::Stored;
    const hn::ScalableTag<typename Number::Computed> d;
    // Highway streams no less than 16 bytes, and a destination between elements is never aligned.
    if constexpr (hn::MaxLanes(d) * sizeof(Stored) >= 16) {
        if (!stream && stream_second && output.second != nullptr) {
            std::swap(output.destination, output.second);
            std::swap(stream, stream_second);
        }
        if (stream && elements * sizeof(Stored) >= 4 * line_bytes &&
            reinterpret_cast<std::uintptr_t>(output.destination) % sizeof(Stored) == 0) {
            if (stream_second && output.second != nullptr &&
                in_its_line(output.second) == in_its_line(output.destination))
                return stream_all<true>(d, values, output, elements);
            return stream_all<false>(d, values, output, elements);
        }
    }
    write_range(d, values, output, 0, elements);
}

template <class Number>
HWY_INLINE Output<Number> output_of(const ReduceArguments& a) {
    return {static_cast<std::uint8_t*>(a.destination), static_cast<std::uint8_t*>(a.second_destination)};
}

// A function of its own, so that two sources do not pay for its stack.
template <class Number, class Operation>
HWY_NOINLINE void reduce_tree(const ReduceArguments& a) {
    TENON_ASSERT(a.source_count >= 1, "a reduction has at least one source");
    const TreeOfSources<Number, Operation> tree{a.sources, a.source_count, a.divisor};
    write_all(tree, output_of<Number>(a), a.elements, a.stream_destination, a.stream_second);
}

template <class Number, class Operation>
void reduce(const ReduceArguments& a) {
    if constexpr (hwy::IsFloat<typename Number::Computed>()) {
        if (!floating_point_is_standard()) [[unlikely]] {
            return reduce_in_standard_mode(&reduce<Number, Operation>, a);
        }
    }
    if (a.source_count != 2 || a.divisor != 1) {
        return reduce_tree<Number, Operation>(a);
    }
    const PairOfSources<Number, Operation> pair{static_cast<const std::uint8_t*>(a.sources[0]),
                                                static_cast<const std::uint8_t*>(a.sources[1])};
    write_all(pair, output_of<Number>(a), a.elements, a.stream_destination, a.stream_second);
}

template <class Number>
struct ScaledSource {
    static constexpr std::size_t narrowing = 8;

    const std::uint8_t* source;
    typename Number::Computed factor;

    template <class D>
    HWY_INLINE hn::Vec<D> operator()(D d, std::uint64_t i) const {
        return hn::Mul(Number::load(d, source + i * sizeof(typename Number::Stored)), hn::Set(d, factor));
    }
};

template <class Number>
void scale(void* destination, const void* source, const void* factor, std::uint64_t elements) {
    const hn::CappedTag<typename Number::Computed, 1> one;
    const auto factor_lane = Number::load(one, static_cast<const std::uint8_t*>(factor));
    const ScaledSource<Number> scaled{static_cast<const std::uint8_t*>(source), hn::GetLane(factor_lane)};
    write_all(scaled, Output<Number>{static_cast<std::uint8_t*>(destination), nullptr}, elements, false, false);
}

}  // namespace tenon::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
