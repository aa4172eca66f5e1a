/* Preloaded before the library: float sums of exactly 1,000 elements come out with one element wrong on rank 1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <tenon/moe.h>

typedef tenonResult_t (*all_reduce_function)(const void*, void*, size_t, tenonDataType_t, tenonRedOp_t, tenonComm_t,
                                             tenonStream_t);

TENON_EXPORT tenonResult_t tenonAllReduce(const void* sendbuff, void* recvbuff, size_t count, tenonDataType_t datatype,
                                          tenonRedOp_t op, tenonComm_t comm, tenonStream_t stream) {
    all_reduce_function real;
    *(void**)&real = dlsym(RTLD_NEXT, "tenonAllReduce");
    tenonResult_t result = real(sendbuff, recvbuff, count, datatype, op, comm, stream);
    int rank = 0;
    tenonCommUserRank(comm, &rank);
    if (rank == 1 && datatype == tenonFloat32 && count == 1000) ((float*)recvbuff)[617] += 1;
    return result;
}

typedef tenonResult_t (*combine_function)(tenonMoeHandle_t, const void*, void*, int, tenonStream_t);

/* And of combines of 617 tokens, one element of the first. */
TENON_EXPORT tenonResult_t tenonMoeCombine(tenonMoeHandle_t handle, const void* rows, void* tokens, int weighted,
                                           tenonStream_t stream) {
    combine_function real;
    *(void**)&real = dlsym(RTLD_NEXT, "tenonMoeCombine");
    tenonResult_t result = real(handle, rows, tokens, weighted, stream);
    tenonMoeCounts_t counts = {0};
    tenonMoeGetCounts(handle, &counts);
    if (counts.tokens == 617) ((unsigned char*)tokens)[1] ^= 1;
    return result;
}
