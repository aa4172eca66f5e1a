// Writing and reading fixed layouts of bytes. Numbers travel as they lie in memory: all machines that Tenon runs on
// have one byte order.
//
// Neither ever leaves its span: what does not fit is a programmer's mistake when writing, since all layouts have fixed
// sizes, and reads as zeros when reading, with `is_short` set.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/assert.hpp"

namespace tenon::bootstrap {

static_assert(std::endian::native == std::endian::little);

class ByteWriter {
public:
    explicit ByteWriter(std::span<std::byte> room) : room_{room} {}

    template <class T>
    void put(const T& value) {
        static_assert(std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>);
        put_bytes(&value, sizeof value);
    }
    // A length, then `limit` bytes: the text, cut at the limit, and zeros.
    void put_text(std::string_view text, std::size_t limit) {
        text = text.substr(0, limit);
        put(static_cast<std::uint32_t>(text.size()));
        put_bytes(text.data(), text.size());
        TENON_ASSERT(room_.size() >= limit - text.size(), "a layout must have room for its texts");
        std::fill_n(room_.begin(), limit - text.size(), std::byte{0});
        room_ = room_.subspan(limit - text.size());
    }

private:
    void put_bytes(const void* bytes, std::size_t count) {
        TENON_ASSERT(room_.size() >= count, "a layout must have room for its fields");
        if (count > 0) std::memcpy(room_.data(), bytes, count);
        room_ = room_.subspan(count);
    }
    std::span<std::byte> room_;
};

class ByteReader {
public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_{bytes} {}

    template <class T>
    T get() {
        static_assert(std::is_trivially_copyable_v<T>);
        T value{};
        if (take(sizeof value)) std::memcpy(&value, taken_.data(), sizeof value);
        return value;
    }
    // What put_text wrote. A length beyond the limit is cut; whatever could upset a log or a terminal becomes '?'.
    std::string get_text(std::size_t limit) {
        const std::size_t length = std::min<std::size_t>(get<std::uint32_t>(), limit);
        if (!take(limit)) return {};
        std::string text(reinterpret_cast<const char*>(taken_.data()), length);
        for (char& c : text)
            if (c != '\n' && (c < ' ' || c > '~')) c = '?';
        return text;
    }
    bool is_short() const { return is_short_; }
    std::size_t left() const { return bytes_.size(); }

private:
    bool take(std::size_t count) {
        is_short_ |= bytes_.size() < count;
        if (is_short_) return false;
        taken_ = bytes_.first(count);
        bytes_ = bytes_.subspan(count);
        return true;
    }
    std::span<const std::byte> bytes_, taken_;
    bool is_short_ = false;
};

}  // namespace tenon::bootstrap
