// What the launchers of attention check and choose before they launch: types, widths, and the compiled head size.
#pragma once

#include <span>
#include <string>
#include <type_traits>

#include "backend/backend.h"
#include "backend/cuda/kernels/alignment.h"
#include "core/error.h"

namespace mlit::cuda {

using Bf16 = __nv_bfloat16;

inline constexpr int kAttentionLargestHead = 256;

inline void checkAttention(const AttentionShape& shape) {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorCode::kInternal, "attention on the device: " + what);
  };
  if (shape.kvHeads < 1 || shape.heads < 1 || shape.heads % shape.kvHeads != 0) {
    refuse(std::to_string(shape.heads) + " heads over " + std::to_string(shape.kvHeads) +
           " kv heads; heads must be a multiple of kv heads");
  }
  if (shape.headDim < 1 || shape.headDim > kAttentionLargestHead) {
    refuse("heads of " + std::to_string(shape.headDim) + " elements; at most " + std::to_string(kAttentionLargestHead));
  }
  if (!(shape.scale > 0)) refuse("scale " + std::to_string(shape.scale) + "; it must be positive");
}

// The bfloat16 behind an address of reals; `name` is backend.h's.
inline const Bf16* bf16Of(DevConstReal reals, const char* name) {
  if (reals.type() != ElementType::kBF16) {
    throw Error(ErrorCode::kInternal,
                std::string("attention on the device: ") + name + " is float32; bfloat16 is wanted");
  }
  return reinterpret_cast<const Bf16*>(reals.bytes().raw());
}
inline Bf16* bf16Of(DevReal reals, const char* name) { return const_cast<Bf16*>(bf16Of(DevConstReal(reals), name)); }

// Whether rows of heads can be moved 16 bytes at a time.
inline bool wideRows(const AttentionShape& shape, const Bf16* at, int64_t ld) {
  return shape.headDim % 8 == 0 && atOnce<8>(at, ld);
}

// run(compiled head size, wide) with constants: heads are padded with zeros to the next compiled size. Rows that are not aligned to
// 16 bytes take one of two sizes: such models are small.
template <class Run>
void withHead(int headDim, bool wide, Run run) {
  using std::bool_constant;
  using std::integral_constant;
  if (!wide) {
    if (headDim <= 32) return run(integral_constant<int, 32>{}, bool_constant<false>{});
    return run(integral_constant<int, 256>{}, bool_constant<false>{});
  }
  const bool_constant<true> isWide;
  if (headDim <= 32) return run(integral_constant<int, 32>{}, isWide);
  if (headDim <= 64) return run(integral_constant<int, 64>{}, isWide);
  if (headDim <= 128) return run(integral_constant<int, 128>{}, isWide);
  return run(integral_constant<int, 256>{}, isWide);
}

// cuSeqlens of the host: 0 … T. Returns the number of documents.
inline int documentsOf(std::span<const int32_t> cuSeqlens) {
  if (cuSeqlens.empty() || cuSeqlens.front() != 0) {
    throw Error(ErrorCode::kInternal, "attention on the device: cuSeqlens must begin with 0");
  }
  return static_cast<int>(cuSeqlens.size()) - 1;
}

// Slots for tiles of `rows` rows (see findTile).
inline unsigned tileSlots(std::span<const int32_t> cuSeqlens, int rows) {
  return static_cast<unsigned>(cuSeqlens.back() / rows + documentsOf(cuSeqlens));
}

}  // namespace mlit::cuda
