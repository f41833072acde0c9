// Two by two tiles of a, b and sums are all that the unit's eight tiles allow; what it sums is added to floats by the vector units while
// it is at the next block, and few rows are left to them altogether.
#include "backend/cpu/amx/dot_amx.h"

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cpuid.h>

#include "backend/cpu/kernels/ahead.h"
#include "backend/cpu/kernels/dot_write.h"
#include "backend/cpu/kernels/math.h"

namespace mlit {
namespace avx512 {
extern const DotKernels dotKernels;
}
namespace MLIT_ISA_NAMESPACE {
namespace {

constexpr int64_t kPanel = kGemmPanel;
constexpr int64_t kTile = 16;         // rows of a tile, and columns of a tile of sums
constexpr int64_t kRows = 2 * kTile;  // two tiles of a times two of b are four of sums: eight tiles are all there are
constexpr int64_t kColumns = 2 * kTile;
constexpr int64_t kSteps = 64;   // along K in a tile
constexpr int64_t kFewest = 12;  // rows for which a whole group of them pays
constexpr int64_t kStepBytes = kPanel * kDotSteps;

#define MLIT_UNROLL _Pragma("GCC unroll 16")

// Palette 1: every tile of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t startRow = 0;
  uint8_t reserved[14] = {};
  uint16_t rowBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfig) == 64);
constexpr TileConfig kConfig;

// This thread's tiles, for the time of a block.
class Tiles {
 public:
  Tiles() { _tile_loadconfig(&kConfig); }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// Sums of one block along K for 32 rows and 32 columns.
void multiply(const int8_t* a, int64_t aRow, const uint8_t* b, int64_t steps, AheadOfTile& ahead, int32_t* sums) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < steps; k += kSteps) {
    for (int64_t i = 0; i < ahead.lines; ++i) __builtin_prefetch(ahead.from + i * kLine, 0, 2);
    ahead.from += ahead.step;
    _tile_loadd(4, a + k, aRow);
    _tile_loadd(6, b, kStepBytes);
    _tile_dpbsud(0, 4, 6);
    _tile_loadd(7, b + kTile * kDotSteps, kStepBytes);
    _tile_dpbsud(1, 4, 7);
    _tile_loadd(5, a + kTile * aRow + k, aRow);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
    b += kSteps / kDotSteps * kStepBytes;
  }
  constexpr int64_t kRowBytes = kColumns * sizeof(int32_t);
  _tile_stored(0, sums, kRowBytes);
  _tile_stored(1, sums + kTile, kRowBytes);
  _tile_stored(2, sums + kTile * kColumns, kRowBytes);
  _tile_stored(3, sums + kTile * kColumns + kTile, kRowBytes);
}

// What was summed of one block along K, on its way into a tile of floats.
struct Sums {
  alignas(64) int32_t values[kRows * kColumns];
  int64_t column = 0;
  int64_t block = 0;
};

void addSums(const DotBlock& g, int64_t row, int64_t rows, const Sums& sums, float* tile) {
  for (int64_t r = 0; r < rows; ++r) {
    const Floats scale = set(g.scales[(row + r) * g.ldScales + sums.block]);
    const Ints start = hn::Set(kI, g.starts[(row + r) * g.ldScales + sums.block]);
    const int32_t* const from = sums.values + r * kColumns;
    float* const to = tile + r * kPanel + sums.column;
    MLIT_UNROLL for (int64_t v = 0; v < kColumns; v += kLanes) {
      const Floats value = hn::ConvertTo(kF, hn::Add(hn::LoadU(kI, from + v), start));
      store(sums.block == 0 ? hn::Mul(value, scale) : hn::MulAdd(value, scale, load(to + v)), to + v);
    }
  }
}

// A group of up to 32 rows; the floats of its 64 columns go to tile [kRows][kPanel]. While the matrix unit sums one block, the vector
// units add the one before.
void multiplyRows(const DotBlock& g, int64_t row, int64_t rows, Ahead& aheads, float* tile) {
  Sums sums[2];
  int64_t turn = 0;
  for (int64_t column = 0; column < g.columns; column += kColumns) {
    AheadOfTile ahead = aheads.next();
    for (int64_t k = 0, s = 0; k < g.k; k += g.block, ++s, ++turn) {
      Sums& now = sums[turn % 2];
      now.column = column, now.block = s;
      const int64_t steps = g.k - k < g.block ? g.k - k : g.block;
      multiply(g.a + row * g.aRow + k, g.aRow, g.b + k * kPanel + column * kDotSteps, steps, ahead, now.values);
      if (turn > 0) addSums(g, row, rows, sums[1 - turn % 2], tile);
    }
  }
  addSums(g, row, rows, sums[1 - turn % 2], tile);
}

void dotBlock(const DotBlock& g) {
  const int64_t rest = g.rows % kRows, few = rest < kFewest ? rest : 0, own = g.rows - few;
  if (own > 0) {
    const Tiles tiles;
    const int64_t groups = (own + kRows - 1) / kRows;
    Ahead aheads(g.ahead, groups * (kPanel / kColumns), (g.k + kSteps - 1) / kSteps);
    alignas(64) float tile[kRows * kPanel];
    for (int64_t row = 0; row < own; row += kRows) {
      const int64_t rows = own - row < kRows ? own - row : kRows;
      multiplyRows(g, row, rows, aheads, tile);
      for (int64_t r = 0; r < rows; ++r) writeRow(g, row + r, tile + r * kPanel, g.c + (row + r) * g.ldc);
    }
  }
  if (few == 0) return;
  DotBlock last = g;
  last.rows = few;
  last.a += own * g.aRow;
  last.scales += own * g.ldScales, last.starts += own * g.ldScales;
  if (last.offsets != nullptr) last.offsets += own;
  last.c += own * g.ldc;
  if (own > 0) last.ahead[0].count = last.ahead[1].count = 0;
  avx512::dotKernels.block(last);
}

constexpr unsigned kTileBit = 1u << 24, kInt8Bit = 1u << 25;  // CPUID 7.0, EDX
constexpr long kRequestPermission = 0x1023, kTileData = 18;   // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)

bool available() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTileBit) == 0 || (d & kInt8Bit) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;  // for all threads of the process
}

}  // namespace
}  // namespace MLIT_ISA_NAMESPACE

const DotKernels* amxDotKernels() {
  static const bool there = MLIT_ISA_NAMESPACE::available();
  static const DotKernels kernels = [] {
    DotKernels own = avx512::dotKernels;
    own.unit = "AMX";
    own.block = MLIT_ISA_NAMESPACE::dotBlock;
    return own;
  }();
  return there ? &kernels : nullptr;
}

}  // namespace mlit
