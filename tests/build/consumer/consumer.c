/* One thread adds on behalf of two ranks: the smallest program that needs the installed library. */
#include <stdio.h>
#include <tenon/tenon.h>

static int failed(const char* call, tenonResult_t result) {
    if (result == tenonSuccess) return 0;
    fprintf(stderr, "%s: %s: %s\n", call, tenonGetErrorString(result), tenonGetLastError(NULL));
    return 1;
}

int main(void) {
    tenonComm_t comms[2];
    int values[2] = {3, 4}, version = 0, rank;
    if (failed("tenonGetVersion", tenonGetVersion(&version))) return 1;
    if (version != TENON_VERSION_CODE) {
        fprintf(stderr, "the headers are of version %d, the library of %d\n", TENON_VERSION_CODE, version);
        return 1;
    }
    if (failed("tenonCommInitAll", tenonCommInitAll(comms, 2, NULL))) return 1;
    if (failed("tenonGroupStart", tenonGroupStart())) return 1;
    for (rank = 0; rank < 2; rank++)
        if (failed("tenonAllReduce",
                   tenonAllReduce(&values[rank], &values[rank], 1, tenonInt32, tenonSum, comms[rank], NULL)))
            return 1;
    if (failed("tenonGroupEnd", tenonGroupEnd())) return 1;
    for (rank = 0; rank < 2; rank++)
        if (failed("tenonCommDestroy", tenonCommDestroy(comms[rank]))) return 1;
    if (values[0] != 7 || values[1] != 7) {
        fprintf(stderr, "3 + 4 is %d on rank 0 and %d on rank 1\n", values[0], values[1]);
        return 1;
    }
    return 0;
}
