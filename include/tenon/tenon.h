/* Tenon's C API: collective communication between the ranks of a communicator.
 *
 * Names, argument order and enumerators are NCCL's, with "tenon" for "nccl", where NCCL has the call. Valid C99.
 * Unless a function says otherwise:
 *
 * Counts are elements of the data type, never bytes; zero is valid and moves nothing.
 *
 * Buffers belong to the caller, who leaves them alone until the call has completed. A buffer of zero elements may be
 * NULL. Input and output may be the same memory only in the in-place way the call documents; any other overlap is a
 * caller's error.
 *
 * Agreement: every rank of a communicator makes the same calls in the same order, with the same count, type, operation
 * and root. Ranks that disagree get tenonMismatch, not a hang and not wrong data. Pointers, being in place, and the
 * stream may differ from rank to rank.
 *
 * Streams: with stream == NULL the call runs in the calling thread and has completed when it returns. Otherwise it is
 * put in the stream's queue and returns at once; how the work ended is told by tenonStreamSynchronize, tenonStreamQuery
 * and tenonCommGetAsyncError. Inside a group, see tenonGroupStart.
 *
 * Threads: different communicators may be used from different threads at the same time. Calls on one communicator are
 * made by one thread at a time, because their order is what ranks agree on; tenonCommAbort, tenonCommGetAsyncError,
 * tenonGetLastError and the queries of a communicator may be called at any time.
 *
 * Errors: a null or destroyed handle, a null buffer, an unknown enumerator, a root or peer outside [0, ranks) or a size
 * that overflows is tenonInvalidArgument and changes nothing: the communicator stays usable. An error of the outside
 * world (tenonSystemError, tenonRemoteError, tenonTimeout, tenonMismatch) fails the communicator: its later calls
 * return the same error, and tenonCommAbort or tenonCommDestroy ends it. When a call has returned an error, no other
 * rank touches its buffers any more. tenonGetLastError says who, what and what to do.
 *
 * Every wait ends: see tenonConfig_t.timeoutMs. The library never ends the process. */
#ifndef TENON_TENON_H_
#define TENON_TENON_H_

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#define TENON_MAJOR 0
#define TENON_MINOR 1
#define TENON_PATCH 0
#define TENON_VERSION(major, minor, patch) ((major)*10000 + (minor)*100 + (patch))
#define TENON_VERSION_CODE TENON_VERSION(TENON_MAJOR, TENON_MINOR, TENON_PATCH)

#if defined(__GNUC__)
#define TENON_EXPORT __attribute__((visibility("default")))
#else
#define TENON_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------- Types */

typedef struct tenonComm* tenonComm_t;     /* one rank's membership in a communicator */
typedef struct tenonStream* tenonStream_t; /* a queue of calls; NULL is the calling thread itself */
typedef struct tenonEvent* tenonEvent_t;   /* a point in a stream */
typedef struct tenonDevice* tenonDevice_t; /* an accelerator; see tenon/device.h */

/* Names a communicator that is about to be made. Plain bytes, to be copied to the other ranks by any means. It holds
 * the secret by which they are let in: give it to nobody else. */
#define TENON_UNIQUE_ID_BYTES 128
typedef struct {
    char internal[TENON_UNIQUE_ID_BYTES];
} tenonUniqueId;

typedef enum {
    tenonSuccess = 0,
    tenonUnhandledDeviceError = 1, /* a device's own library failed */
    tenonSystemError = 2,          /* the operating system refused something: memory, a socket, a file */
    tenonInternalError = 3,        /* a defect of Tenon */
    tenonInvalidArgument = 4,      /* an argument is wrong by itself */
    tenonInvalidUsage = 5,         /* the arguments are right, but the call is not allowed now */
    tenonRemoteError = 6,          /* another rank died or gave up */
    tenonInProgress = 7,           /* not an error: the work has not completed yet */
    tenonTimeout = 8,              /* another rank lives, but did not come in time */
    tenonMismatch = 9,             /* the ranks do not make the same call */
    tenonAborted = 10,             /* tenonCommAbort ended the call */
    tenonNumResults = 11
} tenonResult_t;

typedef enum {
    tenonInt8 = 0,
    tenonChar = 0,
    tenonUint8 = 1,
    tenonInt32 = 2,
    tenonInt = 2,
    tenonUint32 = 3,
    tenonInt64 = 4,
    tenonUint64 = 5,
    tenonFloat16 = 6, /* IEEE 754 binary16 */
    tenonHalf = 6,
    tenonFloat32 = 7,
    tenonFloat = 7,
    tenonFloat64 = 8,
    tenonDouble = 8,
    tenonBfloat16 = 9,
    tenonFloat8e4m3 = 10, /* finite, no infinity: OCP FP8 E4M3 */
    tenonFloat8e5m2 = 11, /* OCP FP8 E5M2 */
    tenonInt16 = 12,
    tenonUint16 = 13,
    tenonNumTypes = 14
} tenonDataType_t;

/* Integers wrap around. 8- and 16-bit floats are accumulated in float32. Max and min return NaN when any contribution
 * is NaN, and take -0 as less than +0. The average of integers is the sum divided by the ranks, towards zero. */
typedef enum {
    tenonSum = 0,
    tenonProd = 1,
    tenonMax = 2,
    tenonMin = 3,
    tenonAvg = 4,
    tenonNumOps = 5,           /* operations made by tenonRedOpCreatePreMulSum are numbered from here */
    tenonMaxRedOp = 0x7fffffff /* makes the enumeration as wide as an int */
} tenonRedOp_t;

typedef enum {
    tenonScalarDevice = 0,       /* in device memory; tenonInvalidUsage on ranks of the host */
    tenonScalarHostImmediate = 1 /* in host memory, read before the call returns */
} tenonScalarResidence_t;

/* What tenonCommAlgorithm is asked about. */
typedef enum {
    tenonCollectiveAllReduce = 0,
    tenonCollectiveReduce = 1,
    tenonCollectiveBroadcast = 2,
    tenonCollectiveReduceScatter = 3,
    tenonCollectiveAllGather = 4,
    tenonCollectiveAlltoAll = 5,
    tenonCollectiveGather = 6,
    tenonCollectiveScatter = 7,
    tenonCollectiveBarrier = 8,
    tenonNumCollectives = 9
} tenonCollective_t;

/* Where a stream's calls run. Code that meets a kind it does not know should treat it as asynchronous. */
typedef enum {
    tenonStreamHost = 0,  /* a thread of this process, on host memory */
    tenonStreamDevice = 1 /* a stream of a device, on its memory; see tenon/device.h */
} tenonStreamKind_t;

/* How a communicator behaves. Start from TENON_CONFIG_INITIALIZER and set what you need; a field left at its initial
 * value follows the TENON_* environment variable named with it, and otherwise that variable's default. All ranks of a
 * communicator must have the same settings (tenonMismatch). */
#define TENON_CONFIG_UNDEF_INT INT_MIN
#define TENON_CONFIG_MAGIC 0x7e40c0f1u
typedef struct {
    size_t size; /* these three are set by the initializer and identify the layout */
    unsigned magic;
    unsigned version;
    int deterministic; /* 1: a reduction's bits depend only on its inputs, the number of ranks and the operation: one
                        * tree over ranks, splitting [0, n) at the largest power of two below n. 0: the fastest order.
                        * TENON_DETERMINISTIC */
    int64_t timeoutMs; /* how long a call waits for a living rank, in milliseconds; 0: unset. TENON_TIMEOUT_MS */
    uint64_t slotMemoryBytes; /* the most that this rank's message slots may take; 0: unset. TENON_SLOT_MEMORY_BYTES */
    const char* algorithm;    /* forces an algorithm, in the form of TENON_ALGORITHM; NULL: unset. Copied by the call */
    tenonDevice_t device;     /* whose memory the communicator's calls may use, beside the host's (tenon/device.h); of
                               * one kind on all ranks. NULL: none */
} tenonConfig_t;

#define TENON_CONFIG_INITIALIZER \
    { sizeof(tenonConfig_t), TENON_CONFIG_MAGIC, TENON_VERSION_CODE, TENON_CONFIG_UNDEF_INT, 0, 0, NULL, NULL }

/* -------------------------------------------------------------------------------------------- Version and errors */

/* Sets *version to the version of the library at run time, in the form of TENON_VERSION_CODE. Any thread, any time. */
TENON_EXPORT tenonResult_t tenonGetVersion(int* version);

/* One sentence on what a result means; never NULL, valid for ever. Any thread, any time. */
TENON_EXPORT const char* tenonGetErrorString(tenonResult_t result);

/* What went wrong last: on this communicator, or for comm == NULL in a call of this thread. One sentence with the rank,
 * the call, what was found and what to do; "" when nothing went wrong. Valid until this thread calls this function
 * again. Any thread, any time. */
TENON_EXPORT const char* tenonGetLastError(tenonComm_t comm);

/* -------------------------------------------------------------------------------------------------- Communicators */

/* Makes an id for a new communicator and starts to answer the ranks that will come with it. Called by one process,
 * which gives the id to the other ranks, on this host or others, by whatever means it has (a pipe, a file, an MPI
 * broadcast) and must live until all of them have joined. The id says where to find it (TENON_SOCKET_INTERFACE chooses
 * the network) and is a secret: who has it may join. One id makes one communicator. Errors: tenonSystemError when no
 * socket can be had, tenonInvalidArgument for an interface that is not there. Any thread. */
TENON_EXPORT tenonResult_t tenonGetUniqueId(tenonUniqueId* uniqueId);

/* The same without passing bytes around: every rank that calls this with the same job name gets the same id, and rank
 * 0 answers when it joins. `job` is a string of 1 to 64 characters that all ranks know and no other job of this user
 * has now. Where the ranks are on several hosts, TENON_RENDEZVOUS or what started them (MASTER_ADDR, Slurm, PMIx) says
 * where rank 0 is; where nothing does, all must be on one host. With PMIx (mpirun), rank 0 is the launcher's rank 0.
 * On a host, ranks of other users are refused; between hosts, the name is all that keeps strangers out. Local, returns
 * at once. Errors: tenonInvalidArgument for variables of a launcher that contradict each other. Any thread. */
TENON_EXPORT tenonResult_t tenonGetUniqueIdForJob(const char* job, tenonUniqueId* uniqueId);

/* Joins the communicator that `commId` names, as rank `rank` of `nranks`, and returns when all ranks have joined. One
 * thread or process for each rank, or one thread for several inside a group: then they join, and *comm is set, when the
 * group ends. *comm is owned by the caller, who ends it with tenonCommDestroy or tenonCommAbort. Errors, on every rank
 * that has come: tenonInvalidArgument for a rank outside [0, nranks), tenonMismatch for a rank given twice or another
 * nranks, tenonTimeout for a rank that does not come. */
TENON_EXPORT tenonResult_t tenonCommInitRank(tenonComm_t* comm, int nranks, tenonUniqueId commId, int rank);

/* The same with settings; config == NULL means none. Settings are read before the call returns. Any thread. */
TENON_EXPORT tenonResult_t tenonCommInitRankConfig(tenonComm_t* comm, int nranks, tenonUniqueId commId, int rank,
                                                   tenonConfig_t* config);

/* Makes a communicator of `ndev` ranks within this process, by one thread: comms[i] becomes rank i. Each may then be
 * used by its own thread, or all of them by one thread inside a group or with streams. `devlist` holds ndev device
 * numbers or is NULL; ranks of the host have no device and ignore them. Errors: tenonInvalidArgument for ndev < 1;
 * where one cannot be made, none is. Any thread. */
TENON_EXPORT tenonResult_t tenonCommInitAll(tenonComm_t* comms, int ndev, const int* devlist);

/* Splits a communicator: all of its ranks call; those with the same color (>= 0) form a new one, ordered by key and,
 * within equal keys, by old rank. A rank with TENON_SPLIT_NOCOLOR joins none and gets *newcomm == NULL. config == NULL
 * inherits the settings of `comm`. The new communicator is independent: each is destroyed by itself, though aborting
 * `comm` aborts it too. Errors: tenonInvalidArgument for another color below 0. The thread that makes the calls on
 * `comm`; ranks of one process come from a thread each, or from one inside a group, whose end sets *newcomm. */
#define TENON_SPLIT_NOCOLOR (-1)
TENON_EXPORT tenonResult_t tenonCommSplit(tenonComm_t comm, int color, int key, tenonComm_t* newcomm,
                                          tenonConfig_t* config);

/* Waits until every call issued on `comm` by this rank, in streams too, has completed. Afterwards only
 * tenonCommDestroy, tenonCommAbort and the queries are allowed. Does not wait for the other ranks. The thread that
 * makes the calls on `comm`. */
TENON_EXPORT tenonResult_t tenonCommFinalize(tenonComm_t comm);

/* Finalizes `comm` unless that has been done, and releases it: the rank leaves in good order. The handle is invalid
 * afterwards. Any thread, with no other inside a call on `comm`; one thread may destroy the communicators of several
 * ranks one after the other. */
TENON_EXPORT tenonResult_t tenonCommDestroy(tenonComm_t comm);

/* Ends `comm` at once: its running calls, and those of communicators split from it, return tenonAborted here and
 * tenonRemoteError on the other ranks. Waits only for this rank's own calls to return, which is bounded. The handle is
 * invalid afterwards. Any thread, also while another is inside a call. */
TENON_EXPORT tenonResult_t tenonCommAbort(tenonComm_t comm);

/* Sets *asyncError to the error that failed `comm`, tenonInProgress while streams work on it, or tenonSuccess. Any
 * thread, any time. */
TENON_EXPORT tenonResult_t tenonCommGetAsyncError(tenonComm_t comm, tenonResult_t* asyncError);

/* Sets *count to the number of ranks, and *rank to this rank. Any thread, any time. */
TENON_EXPORT tenonResult_t tenonCommCount(const tenonComm_t comm, int* count);
TENON_EXPORT tenonResult_t tenonCommUserRank(const tenonComm_t comm, int* rank);

/* Sets *name to the algorithm that a call of this shape uses ("ring"), the same on every rank. `count` is the call's
 * own argument; `op` matters only to reductions, where one of tenonRedOpCreatePreMulSum counts as tenonSum. The string
 * lives as long as `comm`. Any thread, any time. */
TENON_EXPORT tenonResult_t tenonCommAlgorithm(tenonComm_t comm, tenonCollective_t collective, size_t count,
                                              tenonDataType_t datatype, tenonRedOp_t op, const char** name);

/* Sets *name to the transport that carries messages to `peer` ("shm"), "self" for the rank itself. Lives as long as
 * `comm`. Any thread, any time. */
TENON_EXPORT tenonResult_t tenonCommTransport(tenonComm_t comm, int peer, const char** name);

/* Sets *bytes to the memory of the message slots that this rank reads from in `comm`: what its calls so far have
 * needed, never more than the configuration's slotMemoryBytes; with a device, which has its own, twice that. Any
 * thread, any time. */
TENON_EXPORT tenonResult_t tenonCommSlotMemory(tenonComm_t comm, uint64_t* bytes);

/* Sets *count to the number of levels of the communicator's topology, at least 1: each is groups of ranks, level 0 the
 * innermost (the ranks of a host, or what TENON_GROUPS says), the last one group of all ranks. Any thread, any time. */
TENON_EXPORT tenonResult_t tenonCommLevelCount(tenonComm_t comm, int* count);

/* What this rank has sent so far, by the calls of one communicator, to ranks that are in its group of a level and in
 * none of its groups further inside: at level 0 to the ranks of its host, at level 1 to those of other hosts. All
 * numbers only grow; the traffic of one call is the difference.
 *
 * Counted is payload: the bytes that the algorithm of a call hands from rank to rank, in whatever way they travel (in
 * slots, written in place, or read by the receiver), without headers, acknowledgements and what a network adds. What
 * one rank publishes to all counts once for each that receives it; copies within a rank do not count. All calls that
 * send do: collectives, those with counts for each rank, tenonSend, groups, streams, and those of tenon/moe.h, which
 * tenonMoeGetTraffic shows apart. A call counts as a whole from when it begins to send (dispatch and combine when they
 * have completed); one that fails has sent that much or less. A communicator made by tenonCommSplit counts its own. */
typedef struct {
    const char* level;         /* "server", "cluster", ...; lives as long as the communicator */
    uint64_t bytes;
    uint64_t bytesLeavingHost; /* of these, to ranks of other hosts */
    uint64_t messages;         /* as which these bytes were sent; also those without bytes, of a barrier */
} tenonTraffic_t;

/* Sets *traffic to what this rank has sent at `level`. Costs the calls nothing that could be measured; exact when no
 * call runs meanwhile. Errors: tenonInvalidArgument for a level outside [0, tenonCommLevelCount). Any thread, any
 * time. */
TENON_EXPORT tenonResult_t tenonCommTraffic(tenonComm_t comm, int level, tenonTraffic_t* traffic);

/* ------------------------------------------------------------------------------------------------------ Operations */

/* Makes an operation that multiplies this rank's contribution by *scalar, one element of `datatype`, before summing.
 * Each rank may have its own scalar. *op is valid for `datatype` on `comm` only, until tenonRedOpDestroy; every rank
 * makes its operations in the same order. Errors: tenonInvalidUsage for tenonScalarDevice. The thread that makes the
 * calls on `comm`. */
TENON_EXPORT tenonResult_t tenonRedOpCreatePreMulSum(tenonRedOp_t* op, void* scalar, tenonDataType_t datatype,
                                                     tenonScalarResidence_t residence, tenonComm_t comm);

/* Releases an operation. Calls already issued with it complete as if it were still there. The thread that makes
 * the calls on `comm`. */
TENON_EXPORT tenonResult_t tenonRedOpDestroy(tenonRedOp_t op, tenonComm_t comm);

/* ----------------------------------------------------------------------------------------------------- Collectives */
/* "ranks" is the number of ranks of `comm`, "rank" the calling one; pointer arithmetic is in elements.
 * Threads, for each call here: one at a time on one communicator; different communicators at once. */

/* recvbuff[count] on every rank = the reduction of all sendbuff[count]. In place: recvbuff == sendbuff. */
TENON_EXPORT tenonResult_t tenonAllReduce(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                                          tenonRedOp_t op, tenonComm_t comm, tenonStream_t stream);

/* recvbuff[count] on root = the reduction of all sendbuff[count]; recvbuff is ignored elsewhere. In place on root:
 * recvbuff == sendbuff. */
TENON_EXPORT tenonResult_t tenonReduce(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                                       tenonRedOp_t op, int root, tenonComm_t comm, tenonStream_t stream);

/* recvbuff[count] on every rank = root's sendbuff[count]; sendbuff is ignored elsewhere. In place: recvbuff ==
 * sendbuff. */
TENON_EXPORT tenonResult_t tenonBroadcast(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                                          int root, tenonComm_t comm, tenonStream_t stream);

/* tenonBroadcast with one buffer: buff[count] is read on root and written elsewhere. */
TENON_EXPORT tenonResult_t tenonBcast(void* buff, size_t count, tenonDataType_t datatype, int root, tenonComm_t comm,
                                      tenonStream_t stream);

/* recvbuff[recvcount] = block `rank` of the reduction of all sendbuff[ranks * recvcount]. In place:
 * recvbuff == sendbuff + rank * recvcount; the other blocks keep their values. */
TENON_EXPORT tenonResult_t tenonReduceScatter(const void* sendbuff, void* recvbuff, size_t recvcount,
                                              tenonDataType_t datatype, tenonRedOp_t op, tenonComm_t comm,
                                              tenonStream_t stream);

/* The same with blocks of different lengths, packed one after the other: recvbuff[recvcounts[rank]] = block `rank` of
 * the reduction of all sendbuff[sum of recvcounts]. recvcounts[ranks] is the same on every rank and read before the
 * call returns. In place: recvbuff == sendbuff + recvcounts[0] + ... + recvcounts[rank - 1]. */
TENON_EXPORT tenonResult_t tenonReduceScatterv(const void* sendbuff, void* recvbuff, const size_t recvcounts[],
                                               tenonDataType_t datatype, tenonRedOp_t op, tenonComm_t comm,
                                               tenonStream_t stream);

/* recvbuff[ranks * sendcount] on every rank: block r = sendbuff[sendcount] of rank r. In place:
 * sendbuff == recvbuff + rank * sendcount. */
TENON_EXPORT tenonResult_t tenonAllGather(const void* sendbuff, void* recvbuff, size_t sendcount,
                                          tenonDataType_t datatype, tenonComm_t comm, tenonStream_t stream);

/* The same with blocks of different lengths: recvbuff + displs[r] receives the recvcounts[r] elements of rank r.
 * sendcount == recvcounts[rank]; the arrays have an entry for each rank, are the same on every rank, name blocks that
 * do not overlap, and are read before the call returns. In place: sendbuff == recvbuff + displs[rank]. */
TENON_EXPORT tenonResult_t tenonAllGatherv(const void* sendbuff, size_t sendcount, void* recvbuff,
                                           const size_t recvcounts[], const size_t displs[], tenonDataType_t datatype,
                                           tenonComm_t comm, tenonStream_t stream);

/* Block r of recvbuff[ranks * count] = block `rank` of rank r's sendbuff[ranks * count]. In place: recvbuff ==
 * sendbuff, for the price of a copy. */
TENON_EXPORT tenonResult_t tenonAlltoAll(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                                         tenonComm_t comm, tenonStream_t stream);

/* The same with blocks of different lengths: sendcounts[r] elements from sendbuff + sdispls[r] go to rank r, and
 * recvcounts[r] elements from rank r come to recvbuff + rdispls[r]. What one rank sends to another must be what that
 * one expects (tenonMismatch, which only the pair may notice first). The arrays have an entry for each rank and are
 * read before the call returns. Not in place. */
TENON_EXPORT tenonResult_t tenonAlltoAllv(const void* sendbuff, const size_t sendcounts[], const size_t sdispls[],
                                          void* recvbuff, const size_t recvcounts[], const size_t rdispls[],
                                          tenonDataType_t datatype, tenonComm_t comm, tenonStream_t stream);

/* recvbuff[ranks * count] on root: block r = sendbuff[count] of rank r; recvbuff is ignored elsewhere. In place on
 * root: sendbuff == recvbuff + root * count. */
TENON_EXPORT tenonResult_t tenonGather(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                                       int root, tenonComm_t comm, tenonStream_t stream);

/* recvbuff[count] = block `rank` of root's sendbuff[ranks * count]; sendbuff is ignored elsewhere. In place on root:
 * recvbuff == sendbuff + root * count. */
TENON_EXPORT tenonResult_t tenonScatter(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                                        int root, tenonComm_t comm, tenonStream_t stream);

/* Completes on a rank only after every rank has called it. */
TENON_EXPORT tenonResult_t tenonBarrier(tenonComm_t comm, tenonStream_t stream);

/* ------------------------------------------------------------------------------------- Point to point, and groups */

/* Sends sendbuff[count] to rank `peer`, which receives as much with tenonRecv. The sends of one rank to another match
 * its receives in order; a rank may send to itself inside a group. A send may wait for its receive: put exchanges in a
 * group. */
TENON_EXPORT tenonResult_t tenonSend(const void* sendbuff, size_t count, tenonDataType_t datatype, int peer,
                                     tenonComm_t comm, tenonStream_t stream);

/* Receives recvbuff[count] from rank `peer`; count and type are those of the send (tenonMismatch). Threads, as of
 * tenonSend: one at a time on one communicator. */
TENON_EXPORT tenonResult_t tenonRecv(void* recvbuff, size_t count, tenonDataType_t datatype, int peer, tenonComm_t comm,
                                     tenonStream_t stream);

/* Calls of this thread between tenonGroupStart and the matching tenonGroupEnd only record what to do; their arguments
 * are still checked at once. tenonGroupEnd issues all of them as if at the same time: sends and receives of a group
 * cannot block one another, and one thread may issue for several ranks of this process. For calls with stream == NULL
 * it returns when they have completed. Communicators that the group makes (tenonCommInitRank, tenonCommSplit) are made
 * first, and may be used by later groups; when some cannot be made, those not NULL were. Groups nest; the outermost end
 * issues. The first error of the group is the result of tenonGroupEnd, and then nothing has been issued if it was an
 * argument's. Without a start: tenonInvalidUsage. Any thread; each has its own group. */
TENON_EXPORT tenonResult_t tenonGroupStart(void);
TENON_EXPORT tenonResult_t tenonGroupEnd(void);

/* ---------------------------------------------------------------------------------------------------------- Memory */

/* Allocates `size` bytes that other ranks of the host can reach directly, and the devices of a network, so that large
 * collectives on them need no staging copy. Zeroed, aligned to a page, usable like any other memory and with every
 * communicator of the process. *ptr is owned by the caller, who returns it with tenonMemFree after the last call that
 * uses it. size == 0 gives NULL. Errors: tenonSystemError when there is not so much memory, and *ptr is NULL. Any
 * thread. */
TENON_EXPORT tenonResult_t tenonMemAlloc(void** ptr, size_t size);

/* Returns memory of tenonMemAlloc; NULL is fine. Errors: tenonInvalidArgument for any other pointer, or one returned
 * already. Any thread. */
TENON_EXPORT tenonResult_t tenonMemFree(void* ptr);

/* Tells `comm` that buff[size bytes] will be used often, so that what can be prepared is prepared once: a network's
 * devices then read and write it without a copy. An offer, never needed for correctness. *handle is for
 * tenonCommDeregister, to be called before the memory is freed and before `comm` is destroyed, and not while a call
 * uses the memory; another handle than one of `comm`'s own is tenonInvalidArgument. Local. Any thread. */
TENON_EXPORT tenonResult_t tenonCommRegister(const tenonComm_t comm, void* buff, size_t size, void** handle);
TENON_EXPORT tenonResult_t tenonCommDeregister(const tenonComm_t comm, void* handle);

/* -------------------------------------------------------------------------------------------- Streams and events */
/* A stream runs calls in the order they were put in it, in the background; streams run beside one another. Calls on
 * one communicator match in issue order even when they are in different streams. Any thread may use a stream or event
 * at any time, but for their destruction, with which nothing else may run. */

/* Makes a stream of the host. *stream is owned by the caller, who ends it with tenonStreamDestroy. */
TENON_EXPORT tenonResult_t tenonStreamCreate(tenonStream_t* stream);

/* Waits for the stream's work, then releases it. */
TENON_EXPORT tenonResult_t tenonStreamDestroy(tenonStream_t stream);

/* Waits until all work now in the stream has completed, and returns its first error since the last wait. */
TENON_EXPORT tenonResult_t tenonStreamSynchronize(tenonStream_t stream);

/* Returns tenonInProgress while there is work in the stream, otherwise as tenonStreamSynchronize. Does not wait. */
TENON_EXPORT tenonResult_t tenonStreamQuery(tenonStream_t stream);

/* Work put in `stream` from now on waits for what `event` recorded last; an event never recorded holds nothing up. The
 * event may be in any stream. Returns at once. */
TENON_EXPORT tenonResult_t tenonStreamWaitEvent(tenonStream_t stream, tenonEvent_t event);

/* Sets *kind to where the stream's calls run. */
TENON_EXPORT tenonResult_t tenonStreamGetKind(tenonStream_t stream, tenonStreamKind_t* kind);

/* Makes an event that has not been recorded. *event is owned by the caller, who ends it with tenonEventDestroy. */
TENON_EXPORT tenonResult_t tenonEventCreate(tenonEvent_t* event);

/* Releases an event; waits already begun still end as they would have. */
TENON_EXPORT tenonResult_t tenonEventDestroy(tenonEvent_t event);

/* Marks the point after the work now in `stream`, in place of what the event marked before. Returns at once. */
TENON_EXPORT tenonResult_t tenonEventRecord(tenonEvent_t event, tenonStream_t stream);

/* Waits until the work before the recorded point has completed; returns at once when nothing was recorded. */
TENON_EXPORT tenonResult_t tenonEventSynchronize(tenonEvent_t event);

/* Returns tenonSuccess when that work has completed, tenonInProgress otherwise. Does not wait. */
TENON_EXPORT tenonResult_t tenonEventQuery(tenonEvent_t event);

#ifdef __cplusplus
}
#endif

#endif /* TENON_TENON_H_ */
