// What tenon.hpp is made of beside communicators: errors, the data types of C++ types, what a buffer is, and handles
// that release themselves. Included by tenon.hpp, whose head says how to use it.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#if __has_include(<stdfloat>)
#include <stdfloat>
#endif

#include "tenon/tenon.h"

namespace tenon {
inline namespace api {  // apart from the library's own classes in namespace tenon, which modules may see too

// ------------------------------------------------------------------------------------------------------- Errors

class Exception : public std::runtime_error {
public:
    Exception(tenonResult_t result, const std::string& message) : std::runtime_error(message), result_(result) {}
    tenonResult_t result() const noexcept { return result_; }

private:
    tenonResult_t result_;
};

// Throws unless the call, made by this thread just now, succeeded.
inline void check(tenonResult_t result) {
    if (result == tenonSuccess) return;
    const std::string message = tenonGetLastError(nullptr);
    throw Exception(result, message.empty() ? tenonGetErrorString(result) : message);
}

// -------------------------------------------------------------------------------------------------- Element types

// The data type of a C++ type. Specialise it for types of your own, such as a 16-bit float of another library.
template <class T>
struct datatype_of;

template <std::integral T>
requires(!std::same_as<T, bool>) struct datatype_of<T> {
    static constexpr tenonDataType_t value = sizeof(T) == 1   ? (std::is_signed_v<T> ? tenonInt8 : tenonUint8)
                                             : sizeof(T) == 2 ? (std::is_signed_v<T> ? tenonInt16 : tenonUint16)
                                             : sizeof(T) == 4 ? (std::is_signed_v<T> ? tenonInt32 : tenonUint32)
                                                              : (std::is_signed_v<T> ? tenonInt64 : tenonUint64);
};
template <>
struct datatype_of<float> {
    static constexpr tenonDataType_t value = tenonFloat32;
};
template <>
struct datatype_of<double> {
    static constexpr tenonDataType_t value = tenonFloat64;
};
#ifdef __STDCPP_FLOAT16_T__
template <>
struct datatype_of<std::float16_t> {
    static constexpr tenonDataType_t value = tenonFloat16;
};
#endif
#ifdef __STDCPP_BFLOAT16_T__
template <>
struct datatype_of<std::bfloat16_t> {
    static constexpr tenonDataType_t value = tenonBfloat16;
};
#endif

template <class R>
concept InputBuffer =
    std::ranges::contiguous_range<R> && std::ranges::sized_range<R> && std::ranges::borrowed_range<R> && requires {
    datatype_of<std::ranges::range_value_t<R>>::value;
};

template <class R>
concept OutputBuffer = InputBuffer<R> && !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

template <class A, class B>
concept SameElements = std::same_as<std::ranges::range_value_t<A>, std::ranges::range_value_t<B>>;

template <class R>
inline constexpr tenonDataType_t datatype_in = datatype_of<std::ranges::range_value_t<R>>::value;

// -------------------------------------------------------------------------------------------------------- Handles

// Owns one handle of the C API and gives it back with `release`.
template <class Handle, tenonResult_t (*release)(Handle)>
class Owned {
public:
    operator Handle() const noexcept { return handle_.get(); }

protected:
    explicit Owned(Handle handle) : handle_(handle) {}

private:
    struct Release {
        using pointer = Handle;
        void operator()(Handle handle) const noexcept { release(handle); }
    };
    std::unique_ptr<std::remove_pointer_t<Handle>, Release> handle_;
};

// A point in a stream.
class Event : public Owned<tenonEvent_t, tenonEventDestroy> {
public:
    Event() : Owned(create()) {}
    void record(tenonStream_t stream) { check(tenonEventRecord(*this, stream)); }
    void synchronize() { check(tenonEventSynchronize(*this)); }

private:
    static tenonEvent_t create() {
        tenonEvent_t event = nullptr;
        check(tenonEventCreate(&event));
        return event;
    }
};

// A queue of calls that run in the background. The destructor waits for them and drops their error; synchronize throws
// it.
class Stream : public Owned<tenonStream_t, tenonStreamDestroy> {
public:
    Stream() : Owned(create()) {}
    void synchronize() { check(tenonStreamSynchronize(*this)); }
    void wait(const Event& event) { check(tenonStreamWaitEvent(*this, event)); }

private:
    static tenonStream_t create() {
        tenonStream_t stream = nullptr;
        check(tenonStreamCreate(&stream));
        return stream;
    }
};

// An array in memory that other ranks of the host reach directly (tenonMemAlloc); zeroed.
template <class T>
requires std::is_trivially_copyable_v<T>
class Memory {
public:
    explicit Memory(std::size_t size) : size_(size) {
        if (size > SIZE_MAX / sizeof(T)) throw Exception(tenonInvalidArgument, "tenon::Memory: the size overflows");
        void* data = nullptr;
        check(tenonMemAlloc(&data, size * sizeof(T)));
        data_.reset(static_cast<T*>(data));
    }
    T* data() noexcept { return data_.get(); }
    const T* data() const noexcept { return data_.get(); }
    std::size_t size() const noexcept { return size_; }
    T* begin() noexcept { return data(); }
    T* end() noexcept { return data() + size_; }
    const T* begin() const noexcept { return data(); }
    const T* end() const noexcept { return data() + size_; }
    T& operator[](std::size_t i) noexcept { return data_.get()[i]; }
    const T& operator[](std::size_t i) const noexcept { return data_.get()[i]; }

private:
    struct Free {
        void operator()(T* data) const noexcept { tenonMemFree(data); }
    };
    std::unique_ptr<T, Free> data_;
    std::size_t size_;
};

// Owns what a communicator gave and takes back with `release`; must not outlive the communicator.
template <class Value, tenonResult_t (*release)(Value, tenonComm_t)>
class OfCommunicator {
public:
    OfCommunicator(OfCommunicator&& other) noexcept
        : comm_(std::exchange(other.comm_, nullptr)), value_(other.value_) {}
    OfCommunicator& operator=(OfCommunicator&& other) noexcept {
        std::swap(comm_, other.comm_);
        std::swap(value_, other.value_);
        return *this;
    }
    ~OfCommunicator() {
        if (comm_ != nullptr) release(value_, comm_);
    }
    operator Value() const noexcept { return value_; }

protected:
    OfCommunicator(tenonComm_t comm, Value value) : comm_(comm), value_(value) {}

private:
    tenonComm_t comm_;
    Value value_;
};

// A sum of elements of T in which this rank's are multiplied by a factor first (tenonRedOpCreatePreMulSum).
class ScaledSum : public OfCommunicator<tenonRedOp_t, tenonRedOpDestroy> {
public:
    template <class T>
    ScaledSum(tenonComm_t comm, T factor) : OfCommunicator(comm, create(comm, &factor, datatype_of<T>::value)) {}

private:
    static tenonRedOp_t create(tenonComm_t comm, void* factor, tenonDataType_t type) {
        tenonRedOp_t op = tenonNumOps;
        check(tenonRedOpCreatePreMulSum(&op, factor, type, tenonScalarHostImmediate, comm));
        return op;
    }
};

inline tenonResult_t deregister(void* handle, tenonComm_t comm) { return tenonCommDeregister(comm, handle); }

// Memory that a communicator knows it will use often (tenonCommRegister).
class Registration : public OfCommunicator<void*, deregister> {
public:
    template <OutputBuffer R>
    Registration(tenonComm_t comm, R&& buffer)
        : OfCommunicator(comm, create(comm, std::ranges::data(buffer), std::ranges::size(buffer) *
                                                                           sizeof(std::ranges::range_value_t<R>))) {}

private:
    static void* create(tenonComm_t comm, void* data, std::size_t bytes) {
        void* handle = nullptr;
        check(tenonCommRegister(comm, data, bytes, &handle));
        return handle;
    }
};

}  // namespace api
}  // namespace tenon
