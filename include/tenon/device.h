/* Accelerators, for communicators whose calls read and write device memory in the order of the device's own streams.
 *
 *   tenonDevice_t device;
 *   tenonDeviceOpen(&device, "cuda:0");
 *   tenonConfig_t config = TENON_CONFIG_INITIALIZER;
 *   config.device = device;
 *   tenonCommInitRankConfig(&comm, ranks, id, rank, &config);
 *   tenonDeviceStreamWrap(device, myCudaStream, &stream);
 *   tenonAllReduce(gradients, gradients, count, tenonFloat32, tenonSum, comm, stream);
 *
 * A call whose stream is one of a device is enqueued there and returns at once: it runs when what is in the stream
 * before it is done, and what is enqueued after it sees its result; the host has no part in it. Its buffers must be in
 * the memory of the communicator's device. With stream == NULL, a call on device memory has completed when it returns,
 * and does not wait for the program's own streams; a call on host memory is one of the host, as without a device. All
 * ranks use device memory in a call, or none; a barrier, and a call without elements, is in streams of devices on all
 * of them, or on none.
 *
 * Calls of one communicator run on the device in the order in which they were made, also where they are in different
 * streams. Not more than 64 are in flight, fewer large ones: a further call waits for the first of them. One that is
 * longer than a runtime's queues returns when its end is enqueued, so a thread that has several ranks makes their long
 * calls in one group.
 *
 * What goes wrong while a call runs ends the communicator, as in tenon.h: a rank that dies, does not come within
 * timeoutMs, or makes other calls. Then what waits on the device is given up, the result is undefined, and
 * tenonStreamSynchronize and tenonCommGetAsyncError tell why. A stream of tenonDeviceStreamCreate that had a part in
 * it is of no use then; a wrapped one goes on, and must be wrapped again. Sends and receives whose lengths differ are
 * found out only where one of them has to wait for more.
 *
 * Not on devices (tenonInvalidUsage or tenonInvalidArgument says so, before anything is enqueued): tenonAvg and
 * tenonRedOpCreatePreMulSum, types and operations that the device does not add (Ascend: sums, maxima and minima of
 * int8, int16, int32, float16, bfloat16 and float32), and in deterministic mode sums of 8- and 16-bit floats. The calls
 * of tenon/moe.h take host memory.
 *
 * Kinds of devices: "cuda" (NVIDIA GPUs), "ascend" (Ascend NPUs, a device a die) and "emulated" (host memory and
 * threads, everywhere: 16 devices joined like the dies of an Ascend server; ranks of several processes share them
 * where `tenon run --emulated-devices` has started them). `tenon info` shows what there is. A process may use several
 * devices, with a rank each. Open none before a fork.
 *
 * Threads: any, but for what ends a handle, with which nothing else may run. Handles must not be used afterwards. */
#ifndef TENON_DEVICE_H_
#define TENON_DEVICE_H_

#include "tenon/tenon.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sets *count to the number of devices of a kind, such as "cuda". Errors: tenonUnhandledDeviceError says why none can
 * be used (no library, no driver, too old), tenonInvalidArgument for a kind that there is not. */
TENON_EXPORT tenonResult_t tenonDeviceGetCount(const char* kind, int* count);

/* Opens the device of this name, a kind and a number: "cuda:0". *device is owned by the caller, who ends it with
 * tenonDeviceClose. Errors: as of tenonDeviceGetCount, and tenonInvalidArgument for a number that there is not. */
TENON_EXPORT tenonResult_t tenonDeviceOpen(tenonDevice_t* device, const char* name);

/* Gives the device back, and what tenonDeviceMemAlloc allocated by this handle. Communicators and streams of it go on
 * until they are destroyed, which should have been done before. */
TENON_EXPORT tenonResult_t tenonDeviceClose(tenonDevice_t device);

/* Allocates `size` bytes of the device's memory, whose content is undefined. *ptr is an address on the device, not for
 * the host to follow, owned by the caller, who returns it with tenonDeviceMemFree. Any other memory of the device
 * (cudaMalloc, aclrtMalloc) serves as well. size == 0 gives NULL. */
TENON_EXPORT tenonResult_t tenonDeviceMemAlloc(tenonDevice_t device, void** ptr, size_t size);

/* Returns memory of tenonDeviceMemAlloc on the same handle, when all that uses it is done; NULL is fine. Errors:
 * tenonInvalidArgument for any other pointer. */
TENON_EXPORT tenonResult_t tenonDeviceMemFree(tenonDevice_t device, void* ptr);

/* Makes a stream of the device, for all that tenon.h does with streams and events. *stream is owned by the caller, who
 * ends it with tenonStreamDestroy. */
TENON_EXPORT tenonResult_t tenonDeviceStreamCreate(tenonDevice_t device, tenonStream_t* stream);

/* The same for a stream that the program has made with the vendor's runtime, on the same device: a cudaStream_t (or
 * CUstream) or an aclrtStream, which stays the program's and must live until tenonStreamDestroy has released *stream.
 * Errors: tenonInvalidUsage on emulated devices, which have no runtime of their own. */
TENON_EXPORT tenonResult_t tenonDeviceStreamWrap(tenonDevice_t device, void* native, tenonStream_t* stream);

/* Puts a copy of `size` bytes into a stream of a device: between its memory and the host's, or within its own. Host
 * memory stays as it is until the copy is done. On "cuda" and "ascend" a copy with the host's memory waits for what is
 * before it in the stream, so one thread that has several ranks enqueues the calls of all of them first. */
TENON_EXPORT tenonResult_t tenonDeviceMemcpyAsync(void* dst, const void* src, size_t size, tenonStream_t stream);

#ifdef __cplusplus
}
#endif

#endif /* TENON_DEVICE_H_ */
