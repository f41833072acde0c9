// The emulated cuBLASLt's algorithms: what they want, and what they compute.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "core/philox.h"
#include "emulation/cublaslt_objects.h"
#include "emulation/types.h"

namespace mlit::emulation {
namespace {

constexpr uint64_t kMagic = 0x6D6C69744C74;
constexpr int64_t kBlock = 16;  // of k, summed in order

uint64_t mixed(uint64_t key, uint64_t value) {
  const auto words = philox(key, 11, value);
  return uint64_t{words[0]} << 32 | words[1];
}

float read(const void* at, cuda::LtType type, int64_t index) {
  if (type == cuda::LtType::kF32) return static_cast<const float*>(at)[index];
  return __bfloat162float(static_cast<const __nv_bfloat16*>(at)[index]);
}

// Whether every element of a column-major matrix may be accessed at all.
bool touched(const void* at, const LibraryObject& matrix, bool write) {
  const int64_t size = elementSize(matrix.type);
  bool all = true;
  for (int64_t c = 0; c < matrix.cols; ++c) {
    const char* column = static_cast<const char*>(at) + c * matrix.ld * size;
    all = touch(column, static_cast<size_t>(matrix.rows * size), write, false, nullptr) && all;
  }
  return all;
}

// The blocks of k in the algorithm's order.
std::vector<int64_t> blocksOf(const Algorithm& algorithm, const Problem& problem) {
  std::vector<int64_t> blocks(static_cast<size_t>((problem.k + kBlock - 1) / kBlock));
  std::iota(blocks.begin(), blocks.end(), 0);
  const uint64_t key = algorithm.split ? mixed(algorithm.order, static_cast<uint64_t>(problem.n)) : algorithm.order;
  for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[mixed(key, i) % i]);
  return blocks;
}

}  // namespace

uint8_t alignmentPower(uint64_t bytes) {
  uint8_t power = 0;
  while (power < 8 && bytes % (uint64_t{2} << power) == 0) ++power;
  return power;
}

int elementSize(cuda::LtType type) { return type == cuda::LtType::kF32 ? 4 : 2; }

std::vector<Algorithm> algorithmsFor(const Problem& p, const LibraryObject& preference) {
  uint64_t key = machine.options.seed;
  for (const int64_t value :
       {p.m, p.n, p.k, int64_t{p.transposed}, static_cast<int64_t>(p.a.type), static_cast<int64_t>(p.d.type)}) {
    key = mixed(key, static_cast<uint64_t>(value));
  }
  std::vector<Algorithm> all;
  for (uint64_t i = 0; i < 6; ++i) {
    const uint64_t draw = mixed(key, i);
    Algorithm made{};
    made.magic = kMagic;
    made.order = draw;
    made.m = p.m, made.k = p.k;
    made.transposed = p.transposed;
    made.in = static_cast<uint8_t>(p.a.type), made.out = static_cast<uint8_t>(p.d.type);
    made.split = i == 0;
    made.workspaceBytes = static_cast<uint32_t>(preference.workspaceBytes * (draw % 3) / 2);
    made.leastRows = i + 1 < 6 ? 1u << draw / 7 % 5 : 1;
    made.mostRows = i + 1 < 6 && draw / 64 % 3 == 0 ? 4096u : ~0u;
    const LibraryObject* layouts[] = {&p.a, &p.b, &p.d, &p.d};
    for (int j = 0; j < 4; ++j) {
      made.pointers[j] = alignmentPower(preference.alignments[j]);
      const auto bytes = static_cast<uint64_t>(layouts[j]->ld * elementSize(layouts[j]->type));
      made.leading[j] = std::min<uint8_t>(4, std::min(made.pointers[j], alignmentPower(bytes)));
    }
    if (made.split && preference.reductionSchemes == 0) continue;
    if (p.n >= made.leastRows && p.n <= made.mostRows) all.push_back(made);
  }
  return all;
}

std::string refusal(const Algorithm& algorithm, const Problem& p) {
  if (p.n < algorithm.leastRows || p.n > algorithm.mostRows) return std::to_string(p.n) + " columns";
  const LibraryObject* layouts[] = {&p.a, &p.b, &p.d, &p.d};
  for (int i = 0; i < 4; ++i) {
    const auto bytes = static_cast<uint64_t>(layouts[i]->ld * elementSize(layouts[i]->type));
    if (alignmentPower(bytes) < algorithm.leading[i]) return std::string("the leading dimension of ") + "ABCD"[i];
  }
  return "";
}

void runProduct(const Algorithm& algorithm, const Problem& p, const void* a, const void* b, float alpha, float beta,
                void* d, void* workspace) {
  if (algorithm.workspaceBytes > 0) {  // its ends: all of it would take longer than the product
    const size_t end = std::min<size_t>(algorithm.workspaceBytes, 512);
    Work unknown;  // what a real algorithm would move there
    Work* const counted = std::exchange(machine.work, &unknown);
    touch(workspace, end, true, false, nullptr);
    touch(static_cast<std::byte*>(workspace) + algorithm.workspaceBytes - end, end, true, false, nullptr);
    machine.work = counted;
  }
  const bool readable = touched(a, p.a, false) && touched(b, p.b, false) && (beta == 0 || touched(d, p.d, false));
  if (!touched(d, p.d, true) || !readable) return;
  machine.work->tensorFlops += static_cast<uint64_t>(2 * p.m * p.n * p.k);
  const std::vector<int64_t> blocks = blocksOf(algorithm, p);
  for (int64_t column = 0; column < p.n; ++column) {
    for (int64_t row = 0; row < p.m; ++row) {
      float sum = 0;
      for (const int64_t block : blocks) {
        for (int64_t i = block * kBlock; i < std::min(p.k, (block + 1) * kBlock); ++i) {
          sum += read(a, p.a.type, p.transposed ? row * p.a.ld + i : i * p.a.ld + row) *
                 read(b, p.b.type, column * p.b.ld + i);
        }
      }
      const int64_t at = column * p.d.ld + row;
      float value = alpha * sum;
      if (beta != 0) value += beta * read(d, p.d.type, at);
      if (p.d.type == cuda::LtType::kF32) {
        static_cast<float*>(d)[at] = value;
      } else {
        static_cast<__nv_bfloat16*>(d)[at] = __float2bfloat16_rn(value);
      }
    }
  }
}

}  // namespace mlit::emulation
