/* A libascendcl.so that is too old for Tenon. */
#include <stdint.h>

__attribute__((visibility("default"))) int aclInit(const char* configuration_path) { return configuration_path != 0; }

__attribute__((visibility("default"))) int aclrtGetVersion(int32_t* major, int32_t* minor, int32_t* patch) {
    *major = 1;
    *minor = 2;
    *patch = 3;
    return 0;
}
