#include "transports/device_link/cuda/kernels.hpp"

#include <fmt/format.h>

#include <array>

#include "base/assert.hpp"

namespace tenon::cuda {
namespace {

constexpr std::array types{DataType::int8,    DataType::uint8,    DataType::int16,   DataType::uint16,
                           DataType::int32,   DataType::uint32,   DataType::int64,   DataType::uint64,
                           DataType::float16, DataType::bfloat16, DataType::float32, DataType::float64};
constexpr std::array operations{ReduceOp::sum, ReduceOp::prod, ReduceOp::max, ReduceOp::min};

bool is_float(DataType type) {
    return type == DataType::float16 || type == DataType::bfloat16 || type == DataType::float32 ||
           type == DataType::float64;
}
bool is_signed(DataType type) {
    return type == DataType::int8 || type == DataType::int16 || type == DataType::int32 || type == DataType::int64;
}

// The instruction for an operation on registers of a type: "add.rn.f32".
std::string instruction(ReduceOp op, DataType type) {
    const std::size_t bits = std::max<std::size_t>(element_bytes(type) * 8, 32);
    const std::string suffix =
        is_float(type) ? fmt::format("f{}", bits) : fmt::format("{}{}", is_signed(type) ? 's' : 'u', bits);
    switch (op) {
        case ReduceOp::sum:
            return is_float(type) ? "add.rn." + suffix : "add." + suffix;
        case ReduceOp::prod:
            return is_float(type) ? "mul.rn." + suffix : "mul.lo." + suffix;
        // float64 has no form that gives NaNs on; there they are selected.
        case ReduceOp::max:
            return suffix == "f32" ? "max.NaN.f32" : "max." + suffix;
        case ReduceOp::min:
            return suffix == "f32" ? "min.NaN.f32" : "min." + suffix;
        case ReduceOp::avg:
            break;
    }
    TENON_ASSERT(false, "there is a kernel only for what has_kernel()");
}

// a = a op b. `a` and `b` name registers of 32 bits that hold one float32, two narrow floats, or integers side by side.
std::string combine_float32(ReduceOp op, std::string_view a, std::string_view b) {
    return fmt::format(
        "{{ .reg .f32 x, y; .reg .pred nan; mov.b32 x, {0}; mov.b32 y, {1}; {2} x, x, y;\n"
        "  setp.nan.f32 nan, x, x; mov.b32 {0}, x; @nan mov.b32 {0}, 0x7fc00000; }}\n",
        a, b, instruction(op, DataType::float32));
}

std::string combine_float16s(ReduceOp op, std::string_view a, std::string_view b) {
    std::string text = fmt::format(
        "{{ .reg .b16 l, h, m, i; .reg .f32 x, y; .reg .pred nan; mov.b32 {{l, h}}, {}; mov.b32 {{m, i}}, {};\n", a, b);
    for (const auto& [into, from] : {std::pair{'l', 'm'}, std::pair{'h', 'i'}})
        text += fmt::format(
            "  cvt.f32.f16 x, {0}; cvt.f32.f16 y, {1}; {2} x, x, y; setp.nan.f32 nan, x, x;\n"
            "  cvt.rn.f16.f32 {0}, x; @nan mov.b16 {0}, 0x7e00;\n",
            into, from, instruction(op, DataType::float32));
    return text + fmt::format("  mov.b32 {}, {{l, h}}; }}\n", a);
}

// Rounded to nearest even by integers, since compute capability 8.0 has no conversion that keeps the NaN.
std::string combine_bfloat16s(ReduceOp op, std::string_view a, std::string_view b) {
    std::string text = fmt::format(
        "{{ .reg .b32 u, v, l, h; .reg .f32 x, y; .reg .pred nan; shl.b32 l, {0}, 16; and.b32 h, {0}, 0xffff0000;\n",
        a);
    for (const char half : {'l', 'h'})
        text += fmt::format(
            "  {3} v, {1}, {4}; mov.b32 x, {0}; mov.b32 y, v; {2} x, x, y; setp.nan.f32 nan, x, x;\n"
            "  mov.b32 u, x; shr.u32 v, u, 16; and.b32 v, v, 1; add.u32 u, u, 0x7fff; add.u32 u, u, v;\n"
            "  shr.u32 {0}, u, 16; @nan mov.b32 {0}, 0x7fc0;\n",
            half, b, instruction(op, DataType::float32), half == 'l' ? "shl.b32" : "and.b32",
            half == 'l' ? "16" : "0xffff0000");
    return text + fmt::format("  shl.b32 h, h, 16; or.b32 {}, l, h; }}\n", a);
}

std::string combine_integers(DataType type, ReduceOp op, std::string_view a, std::string_view b) {
    const std::size_t bits = element_bytes(type) * 8;
    if (bits == 32) return fmt::format("{0} {1}, {1}, {2};\n", instruction(op, type), a, b);
    const char sign = is_signed(type) ? 's' : 'u';
    std::string text = "{ .reg .b32 x, y;\n";
    for (std::size_t at = 0; at < 32; at += bits)
        text += fmt::format(
            "  bfe.{0}32 x, {1}, {3}, {4}; bfe.{0}32 y, {2}, {3}, {4}; {5} x, x, y; bfi.b32 {1}, x, {1}, {3}, "
            "{4};\n",
            sign, a, b, at, bits, instruction(op, type));
    return text + "}\n";
}

// The same of registers of 64 bits that hold one number.
std::string combine_float64(ReduceOp op, std::string_view a, std::string_view b) {
    return fmt::format(
        "{{ .reg .f64 x, y; .reg .pred nan; mov.b64 x, {0}; mov.b64 y, {1}; setp.nan.f64 nan, x, y; {2} x, x, y;\n"
        "  mov.b64 {0}, x; @nan mov.b64 {0}, 0x7ff8000000000000; setp.nan.f64 nan, x, x;\n"
        "  @nan mov.b64 {0}, 0x7ff8000000000000; }}\n",
        a, b, instruction(op, DataType::float64));
}

std::string combine(KernelId id, std::string_view a, std::string_view b) {
    switch (id.type) {
        case DataType::float32:
            return combine_float32(id.op, a, b);
        case DataType::float16:
            return combine_float16s(id.op, a, b);
        case DataType::bfloat16:
            return combine_bfloat16s(id.op, a, b);
        case DataType::float64:
            return combine_float64(id.op, a, b);
        case DataType::int64:
        case DataType::uint64:
            return fmt::format("{0} {1}, {1}, {2};\n", instruction(id.op, id.type), a, b);
        default:
            return combine_integers(id.type, id.op, a, b);
    }
}

constexpr std::string_view prologue = R"(
.visible .entry {0}(.param .u64 p_destination, .param .u64 p_source, .param .u64 p_packets, .param .u64 p_first,
                    .param .u64 p_elements)
{{
.reg .pred %end;
.reg .b32 %block, %width, %thread, %blocks, %a<4>, %b<4>;
.reg .b64 %destination, %source, %packets, %first, %elements, %own, %stride, %at, %into, %from, %c<2>, %d<2>;
ld.param.u64 %destination, [p_destination];
ld.param.u64 %source, [p_source];
ld.param.u64 %packets, [p_packets];
ld.param.u64 %first, [p_first];
ld.param.u64 %elements, [p_elements];
cvta.to.global.u64 %destination, %destination;
cvta.to.global.u64 %source, %source;
mov.u32 %block, %ctaid.x;
mov.u32 %width, %ntid.x;
mov.u32 %thread, %tid.x;
mov.u32 %blocks, %nctaid.x;
mul.wide.u32 %own, %block, %width;
cvt.u64.u32 %at, %thread;
add.u64 %own, %own, %at;
mul.wide.u32 %stride, %blocks, %width;
mov.u64 %at, %own;
PACKET:
setp.ge.u64 %end, %at, %packets;
@%end bra SINGLE;
shl.b64 %from, %at, 4;
add.u64 %into, %destination, %from;
add.u64 %from, %source, %from;
)";

constexpr std::string_view between = R"(add.u64 %at, %at, %stride;
bra PACKET;
SINGLE:
add.u64 %at, %own, %first;
ELEMENT:
setp.ge.u64 %end, %at, %elements;
@%end bra DONE;
shl.b64 %from, %at, {};
add.u64 %into, %destination, %from;
add.u64 %from, %source, %from;
)";

constexpr std::string_view epilogue = R"(add.u64 %at, %at, %stride;
bra ELEMENT;
DONE:
ret;
}
)";

std::string packet_body(KernelId id) {
    if (element_bytes(id.type) == 8)
        return "ld.global.v2.b64 {%c0, %c1}, [%into];\nld.global.v2.b64 {%d0, %d1}, [%from];\n" +
               combine(id, "%c0", "%d0") + combine(id, "%c1", "%d1") + "st.global.v2.b64 [%into], {%c0, %c1};\n";
    std::string text =
        "ld.global.v4.b32 {%a0, %a1, %a2, %a3}, [%into];\nld.global.v4.b32 {%b0, %b1, %b2, %b3}, [%from];\n";
    for (int i = 0; i < 4; i++) text += combine(id, fmt::format("%a{}", i), fmt::format("%b{}", i));
    return text + "st.global.v4.b32 [%into], {%a0, %a1, %a2, %a3};\n";
}

std::string element_body(KernelId id) {
    const std::size_t bits = element_bytes(id.type) * 8;
    const auto [a, b] = bits == 64 ? std::pair{"%c0", "%d0"} : std::pair{"%a0", "%b0"};
    return fmt::format("ld.global.u{0} {1}, [%into];\nld.global.u{0} {2}, [%from];\n{3}st.global.u{0} [%into], {1};\n",
                       bits, a, b, combine(id, a, b));
}

int shift_of(DataType type) {
    switch (element_bytes(type)) {
        case 1:
            return 0;
        case 2:
            return 1;
        case 4:
            return 2;
        default:
            return 3;
    }
}

}  // namespace

bool has_kernel(DataType type, ReduceOp op) {
    return op != ReduceOp::avg && type != DataType::float8_e4m3 && type != DataType::float8_e5m2;
}

std::vector<KernelId> kernel_ids() {
    std::vector<KernelId> all;
    for (const DataType type : types)
        for (const ReduceOp op : operations) all.push_back({type, op});
    return all;
}

std::string kernel_name(KernelId id) { return fmt::format("tenon_{}_{}", name_of(id.type), name_of(id.op)); }

std::string kernels_ptx() {
    std::string text = ".version 7.0\n.target sm_80\n.address_size 64\n";
    for (const KernelId id : kernel_ids()) {
        text += fmt::format(prologue, kernel_name(id)) + packet_body(id);
        text += fmt::format(between, shift_of(id.type)) + element_body(id) + std::string{epilogue};
    }
    return text;
}

}  // namespace tenon::cuda
