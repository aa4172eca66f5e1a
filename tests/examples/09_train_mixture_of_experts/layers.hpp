// The layers that know nothing of ranks, and where the parameters of a model lie. Matrices have a row for each token,
// or for each token that came to an expert. Gradients are added to what they are given.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "matrix.hpp"

namespace mixture {

using Vector = std::vector<float>;

struct Parameters {
    Vector shared;   // the same on every rank
    Vector experts;  // of this process, one after the other
};

struct Gradients {
    std::vector<Vector> shared;  // of each micro-batch of this process, to be summed in the documented order
    Vector experts;              // of all micro-batches
};

// y[rows][outputs] = x[rows][inputs] * weights + bias. Its parameters are weights[inputs][outputs] and bias[outputs].
struct Affine {
    std::size_t inputs, outputs;

    std::size_t parameter_count() const { return (inputs + 1) * outputs; }

    void forward(const float* parameters, const float* x, std::size_t rows, float* y) const {
        for (std::size_t i = 0; i < rows; ++i) std::copy_n(parameters + inputs * outputs, outputs, y + i * outputs);
        add_product({x, inputs, 1}, parameters, rows, inputs, outputs, y);
    }

    void add_input_gradient(const float* parameters, const float* dy, std::size_t rows, float* dx) const {
        Vector transposed(inputs * outputs);
        for (std::size_t i = 0; i < inputs; ++i)
            for (std::size_t j = 0; j < outputs; ++j) transposed[j * inputs + i] = parameters[i * outputs + j];
        add_product({dy, outputs, 1}, transposed.data(), rows, outputs, inputs, dx);
    }

    // Row by row, from the first to the last.
    void add_parameter_gradient(const float* x, const float* dy, std::size_t rows, float* gradient) const {
        add_product({x, 1, inputs}, dy, inputs, rows, outputs, gradient);
        float* const bias = gradient + inputs * outputs;
        for (std::size_t i = 0; i < rows; ++i)
            for (std::size_t j = 0; j < outputs; ++j) bias[j] += dy[i * outputs + j];
    }
};

// An affine layer among the shared parameters: the gradient of each micro-batch is kept apart.
struct SharedAffine : Affine {
    std::size_t offset;

    std::size_t end() const { return offset + parameter_count(); }

    void forward(const Parameters& parameters, const Vector& x, Vector& y) const {
        Affine::forward(&parameters.shared[offset], x.data(), x.size() / inputs, y.data());
    }
    void backward(const Parameters& parameters, const Vector& x, const Vector& dy, Vector& dx,
                  Gradients& gradients) const {
        add_input_gradient(&parameters.shared[offset], dy.data(), dy.size() / outputs, dx.data());
        const std::size_t rows = x.size() / inputs / gradients.shared.size();
        for (std::size_t m = 0; m < gradients.shared.size(); ++m)
            add_parameter_gradient(&x[m * rows * inputs], &dy[m * rows * outputs], rows, &gradients.shared[m][offset]);
    }
};

// Two affine layers with a ReLU between them: an expert, and with more inner elements the whole of a dense layer.
struct FeedForward {
    std::size_t width, inner_width;
    Affine first{width, inner_width}, second{inner_width, width};

    std::size_t parameter_count() const { return first.parameter_count() + second.parameter_count(); }

    void forward(const float* parameters, const float* x, std::size_t rows, float* inner, float* y) const {
        first.forward(parameters, x, rows, inner);
        for (std::size_t i = 0; i < rows * inner_width; ++i) inner[i] = std::max(inner[i], 0.0F);
        second.forward(parameters + first.parameter_count(), inner, rows, y);
    }
    void backward(const float* parameters, const float* x, const float* inner, const float* dy, std::size_t rows,
                  float* dx, float* gradient) const {
        Vector d_inner(rows * inner_width);
        second.add_input_gradient(parameters + first.parameter_count(), dy, rows, d_inner.data());
        second.add_parameter_gradient(inner, dy, rows, gradient + first.parameter_count());
        for (std::size_t i = 0; i < d_inner.size(); ++i) d_inner[i] = inner[i] > 0 ? d_inner[i] : 0.0F;
        first.add_input_gradient(parameters, d_inner.data(), rows, dx);
        first.add_parameter_gradient(x, d_inner.data(), rows, gradient);
    }
};

}  // namespace mixture
