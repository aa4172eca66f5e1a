// What a network keeps for each channel of a connection: made when first asked for, since most channels are never used.
#pragma once

#include <array>
#include <memory>

#include "tenon/plugin/plan.hpp"

namespace tenon {

template <class T>
class ByChannel {
public:
    T& operator[](Channel channel) {
        auto& made = all_[channel];
        if (made == nullptr) made = std::make_unique<T>();
        return *made;
    }
    template <class Use>
    void for_each(const Use& use) {
        for (const auto& made : all_)
            if (made != nullptr) use(*made);
    }

private:
    std::array<std::unique_ptr<T>, max_channels> all_;
};

}  // namespace tenon
