// The generators, one file each, for the table in generators.cpp.
#pragma once

#include "topology/generators.hpp"

namespace tenon::machines {

extern const Generator cloudmatrix384;
extern const Generator atlas_a2;
extern const Generator atlas_a3;
extern const Generator dgx_h100;
extern const Generator fat_tree;

}  // namespace tenon::machines
