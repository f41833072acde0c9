// NormalFloat4 (Dettmers et al., "QLoRA", NeurIPS 2023, appendix E): 16 quantiles of a normal scaled to [-1, 1], of which a block
// of neighbours in a row takes the nearest to value / scale, scale being the block's largest magnitude. Levels and the bounds between
// them are bitsandbytes' (csrc/kernels.cu, dDequantizeNF4 and dQuantizeNF4), so that a base quantised here is the one that
// adapters from there were trained on: the same level at a bound (the lower one), and the same product with 1 / scale.
//
// bitsandbytes' blocks run over row ends, ours begin anew with each row: no difference where rows are a multiple of 64 wide.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace mlit {

inline constexpr int64_t kNf4Block = 64;
inline constexpr unsigned kNf4Zero = 7;  // the code of 0

MLIT_HOST_DEVICE inline float nf4Level(unsigned code) {
  switch (code) {
    case 0:
      return -1.0f;
    case 1:
      return -0.6961928009986877f;
    case 2:
      return -0.5250730514526367f;
    case 3:
      return -0.39491748809814453f;
    case 4:
      return -0.28444138169288635f;
    case 5:
      return -0.18477343022823334f;
    case 6:
      return -0.09105003625154495f;
    case 7:
      return 0.0f;
    case 8:
      return 0.07958029955625534f;
    case 9:
      return 0.16093020141124725f;
    case 10:
      return 0.24611230194568634f;
    case 11:
      return 0.33791524171829224f;
    case 12:
      return 0.44070982933044434f;
    case 13:
      return 0.5626170039176941f;
    case 14:
      return 0.7229568362236023f;
    default:
      return 1.0f;
  }
}

// Of x in [-1, 1]: how many bounds lie below it.
MLIT_HOST_DEVICE inline unsigned nf4Code(float x) {
  unsigned code = 0;
  code += x > -0.8480964004993439f;
  code += x > -0.6106329262256622f;
  code += x > -0.4599952697753906f;
  code += x > -0.33967943489551544f;
  code += x > -0.23460740596055984f;
  code += x > -0.13791173323988914f;
  code += x > -0.045525018125772476f;
  code += x > 0.03979014977812767f;
  code += x > 0.1202552504837513f;
  code += x > 0.2035212516784668f;
  code += x > 0.2920137718319893f;
  code += x > 0.3893125355243683f;
  code += x > 0.5016634166240692f;
  code += x > 0.6427869200706482f;
  code += x > 0.8614784181118011f;
  return code;
}

// What value / scale is multiplied by in the quotient's place; a block of zeros takes the code of 0.
MLIT_HOST_DEVICE inline float nf4Inverse(float scale) { return scale > 0 ? 1.0f / scale : 0.0f; }

MLIT_HOST_DEVICE inline int64_t nf4Blocks(int64_t width) { return (width + kNf4Block - 1) / kNf4Block; }

}  // namespace mlit
