// libcublasLt.so for tests that only ask whether it is there.
#include <cstddef>

extern "C" __attribute__((visibility("default"))) size_t cublasLtGetVersion() { return 130100; }
