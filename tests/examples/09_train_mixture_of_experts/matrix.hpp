// Products of small matrices of floats that lie row by row, in plain loops that compilers vectorise.
//
// Each element of a product is one sum, formed from the first term to the last in whichever tile it lies. So the bits
// of a row depend neither on how many others are multiplied with it nor on where it lies among them.
#pragma once

#include <array>
#include <cstddef>

namespace mixture {

// Element (i, j) is values[i * row_stride + j * column_stride].
struct MatrixView {
    const float* values;
    std::size_t row_stride, column_stride;
    float operator()(std::size_t i, std::size_t j) const { return values[i * row_stride + j * column_stride]; }
    MatrixView from_row(std::size_t i) const { return {values + i * row_stride, row_stride, column_stride}; }
};

// The rows of `right` and of the result are `stride` elements apart.
template <std::size_t rows, std::size_t columns>
void add_tile(MatrixView left, const float* right, std::size_t depth, std::size_t stride, float* result) {
    std::array<std::array<float, columns>, rows> sums{};
    for (std::size_t p = 0; p < depth; ++p)
        for (std::size_t i = 0; i < rows; ++i)
            for (std::size_t j = 0; j < columns; ++j) sums[i][j] += left(i, p) * right[p * stride + j];
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < columns; ++j) result[i * stride + j] += sums[i][j];
}

template <std::size_t rows>
void add_tiles(MatrixView left, const float* right, std::size_t depth, std::size_t columns, float* result) {
    constexpr std::size_t tile_columns = 8;  // four rows of them fit into the registers of any machine
    std::size_t j = 0;
    for (; j + tile_columns <= columns; j += tile_columns)
        add_tile<rows, tile_columns>(left, right + j, depth, columns, result + j);
    for (; j < columns; ++j) add_tile<rows, 1>(left, right + j, depth, columns, result + j);
}

// result[rows][columns] += left[rows][depth] * right[depth][columns].
inline void add_product(MatrixView left, const float* right, std::size_t rows, std::size_t depth, std::size_t columns,
                        float* result) {
    constexpr std::size_t tile_rows = 4;
    std::size_t i = 0;
    for (; i + tile_rows <= rows; i += tile_rows)
        add_tiles<tile_rows>(left.from_row(i), right, depth, columns, result + i * columns);
    for (; i < rows; ++i) add_tiles<1>(left.from_row(i), right, depth, columns, result + i * columns);
}

}  // namespace mixture
