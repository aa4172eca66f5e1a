// The reduction kernels, as PTX: text that the driver compiles for the GPU it finds, so that no CUDA compiler is needed
// to build Tenon and one text serves every GPU from compute capability 8.0.
//
// A kernel for each type and operation. Threads stride over packets of 16 bytes, then over single elements; the bits
// are those of the host's kernels (src/reduction): narrow floats in float32 and rounded to nearest even, one canonical
// NaN, -0 < +0, nothing fused.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tenon/plugin/types.hpp"

namespace tenon::cuda {

inline constexpr std::uint64_t packet_bytes = 16;
inline constexpr int oldest_compute_capability = 80;

struct KernelId {
    DataType type = DataType::float32;
    ReduceOp op = ReduceOp::sum;
};
// Everything but 8-bit floats and averages.
bool has_kernel(DataType type, ReduceOp op);
std::vector<KernelId> kernel_ids();
std::string kernel_name(KernelId id);
// Of all of them. Each takes: destination, source (addresses), packets, first_element, elements (64-bit counts): it
// reduces the packets, and the elements from the first one on.
std::string kernels_ptx();

}  // namespace tenon::cuda
