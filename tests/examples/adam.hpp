// Adam (Kingma and Ba, ICLR 2015): the step from a gradient to better parameters. One thread at a time.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

class Adam {
public:
    explicit Adam(std::size_t parameter_count) : mean_(parameter_count, 0.0F), square_(parameter_count, 0.0F) {}

    void step(std::vector<float>& parameters, const std::vector<float>& gradient, float rate) {
        correction_1_ *= 0.9F, correction_2_ *= 0.99F;
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            mean_[i] = 0.9F * mean_[i] + 0.1F * gradient[i];
            square_[i] = 0.99F * square_[i] + 0.01F * gradient[i] * gradient[i];
            const float size = std::sqrt(square_[i] / (1 - correction_2_)) + 1e-8F;
            parameters[i] -= rate * mean_[i] / (1 - correction_1_) / size;
        }
    }

private:
    std::vector<float> mean_, square_;
    float correction_1_ = 1, correction_2_ = 1;
};
