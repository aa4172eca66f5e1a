#include "reduction/floating_point_mode.hpp"

namespace tenon {
namespace {

void set_floating_point_control(std::uint64_t control) {
#if defined(__x86_64__)
    _mm_setcsr(static_cast<unsigned>(control));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(control) : "memory");
#else
    static_cast<void>(control);
#endif
}

}  // namespace

StandardFloatingPoint::StandardFloatingPoint() : saved_{floating_point_control()} {
    if ((saved_ & floating_point_mode_bits) != standard_floating_point_mode) {
        set_floating_point_control((saved_ & ~floating_point_mode_bits) | standard_floating_point_mode);
    }
}

StandardFloatingPoint::~StandardFloatingPoint() {
    if ((saved_ & floating_point_mode_bits) != standard_floating_point_mode) {
        set_floating_point_control(saved_);
    }
}

void reduce_in_standard_mode(ReduceKernel kernel, const ReduceArguments& arguments) {
    const StandardFloatingPoint standard;
    kernel(arguments);
}

}  // namespace tenon
