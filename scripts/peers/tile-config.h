// Put before every file of llama.cpp when it is built here. GCC up to 13 says of _tile_loadconfig that it reads 8 of its 64 bytes, and leaves out
// the stores to the others: the tiles stay unconfigured, and the first load into one is an illegal instruction.
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg\t%0" ::"m"(*(const char(*)[64])(config)))
#endif
