// Conversions of rows: each element once, eight at a time where addresses and widths allow it.
#include "backend/cuda/kernels/weights.h"

#include "backend/cuda/device/dev.cuh"
#include "backend/cuda/kernels/nf4.h"
#include "backend/cuda/kernels/reals.h"

namespace mlit::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kMostRowBlocks = 4096;

template <int N>
DEVICE void loadWeights(float (&to)[N], const float* from) {
  loadFloats(to, from);
}
template <int N>
DEVICE void loadWeights(float (&to)[N], const __nv_bfloat16* from) {
  loadFloats(to, from);
}
template <int N>
DEVICE void loadWeights(float (&to)[N], const int8_t* from) {
  static_assert(N == 1 || N == 8, "one transaction");
  if constexpr (N == 1) {
    to[0] = static_cast<float>(*from);
  } else {
    const uint2 v = load8(from);
    UNROLL
    for (int i = 0; i < 4; ++i) {
      to[i] = static_cast<float>(static_cast<int8_t>(v.x >> (8 * i) & 0xFFu));
      to[i + 4] = static_cast<float>(static_cast<int8_t>(v.y >> (8 * i) & 0xFFu));
    }
  }
}

// Rows in y, columns in x; more rows than kMostRowBlocks take turns.
template <int N, class From, class To>
__global__ void __launch_bounds__(kThreads)
    convertRowsKernel(const From* from, int64_t ldFrom, int64_t rows, int64_t width, To* to, int64_t ldTo) {
  const int64_t column = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (column >= width) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float values[N];
    loadFloats(values, from + row * ldFrom + column);
    storeFloats(to + row * ldTo + column, values);
  }
}

// A warp a row: its largest, then its quotients, eight to a lane, with zeros in the padding.
__global__ void __launch_bounds__(kThreads)
    quantiseRowsKernel(const float* from, int64_t rows, int64_t width, int8_t* to, int64_t ldTo, float* scales) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int64_t row = int64_t{blockIdx.x} * kWarps + thread / 32;
  if (row >= rows) return;
  const float* values = from + row * width;
  float largest = 0;
  for (int64_t i = lane; i < width; i += 32) largest = fmaxf(largest, fabsf(values[i]));
  const float scale = __fdiv_rn(warpMax(largest), 127.0f);
  if (lane == 0) scales[row] = scale;
  for (int64_t i = int64_t{lane} * 8; i < width; i += 32 * 8) {
    unsigned packed[2] = {};
    UNROLL
    for (int j = 0; j < 8; ++j) {
      if (i + j >= width || !(scale > 0)) continue;
      const float quotient = fminf(fmaxf(rintf(__fdiv_rn(values[i + j], scale)), -127.0f), 127.0f);
      packed[j / 4] |= (static_cast<unsigned>(static_cast<int>(quotient)) & 0xFFu) << (j % 4 * 8);
    }
    store8(to + row * ldTo + i, make_uint2(packed[0], packed[1]));
  }
}

__global__ void __launch_bounds__(kThreads)
    dequantiseRowsKernel(const int8_t* from, int64_t ldFrom, const float* scales, int64_t rows, int64_t width,
                         __nv_bfloat16* to, int64_t ldTo) {
  const int64_t column = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * 8;
  if (column >= width) return;
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    float values[8];
    loadWeights(values, from + row * ldFrom + column);
    const float scale = scales[row];
    UNROLL
    for (int j = 0; j < 8; ++j) values[j] *= scale;
    storeFloats(to + row * ldTo + column, values);
  }
}

template <int N, class T>
__global__ void __launch_bounds__(kThreads)
    gatherRowsOfKernel(const T* data, int64_t ld, const float* scales, int64_t in, const int32_t* ids, int64_t n,
                       float factor, float* out) {
  const int64_t column = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (column >= in) return;
  for (int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    const int64_t row = ids[i];
    float values[N];
    loadWeights(values, data + row * ld + column);
    const float scale = scales == nullptr ? 1.0f : scales[row];
    UNROLL
    for (int j = 0; j < N; ++j) values[j] = factor * (values[j] * scale);
    storeFloats(out + i * in + column, values);
  }
}

Dim3 rowGrid(int64_t rows, int64_t columns, int n) {
  const int64_t perBlock = int64_t{kThreads} * n;
  return {static_cast<unsigned>((columns + perBlock - 1) / perBlock),
          static_cast<unsigned>(rows < kMostRowBlocks ? rows : kMostRowBlocks)};
}

// Whether rows can be moved 16 bytes at a time.
bool wide(const void* at, int64_t ld, int64_t elementBytes) {
  return reinterpret_cast<uintptr_t>(at) % 16 == 0 && ld * elementBytes % 16 == 0;
}

}  // namespace

void convertRows(DevConstReal from, int64_t ldFrom, int64_t rows, int64_t width, DevReal to, int64_t ldTo,
                 Stream& stream) {
  if (rows == 0 || width == 0) return;
  const bool eight = width % 8 == 0 && wide(from.bytes().raw(), ldFrom, elementBytes(from.type())) &&
                     wide(to.bytes().raw(), ldTo, elementBytes(to.type()));
  withReals(from, [&](auto source) {
    withReals(to, [&](auto target) {
      using From = std::remove_cv_t<std::remove_pointer_t<decltype(source)>>;
      using To = std::remove_pointer_t<decltype(target)>;
      launch(eight ? convertRowsKernel<8, From, To> : convertRowsKernel<1, From, To>, "convertRows",
             rowGrid(rows, width, eight ? 8 : 1), {kThreads}, 0, stream, source, ldFrom, rows, width, target, ldTo);
    });
  });
}

void quantiseRows(DevConstF32 from, int64_t rows, int64_t width, int8_t* to, int64_t ldTo, float* scales,
                  Stream& stream) {
  if (rows == 0) return;
  launch(quantiseRowsKernel, "quantiseRows", {static_cast<unsigned>((rows + kWarps - 1) / kWarps)}, {kThreads}, 0,
         stream, from.raw(), rows, width, to, ldTo, scales);
}

void dequantiseRows(const int8_t* from, int64_t ldFrom, const float* scales, int64_t rows, int64_t width, DevReal to,
                    int64_t ldTo, Stream& stream) {
  launch(dequantiseRowsKernel, "dequantiseRows", rowGrid(rows, width, 8), {kThreads}, 0, stream, from, ldFrom, scales,
         rows, width, reinterpret_cast<__nv_bfloat16*>(to.bytes().raw()), ldTo);
}

void gatherRowsOf(WeightFormat format, const std::byte* data, int64_t ld, const float* scales, int64_t in,
                  DevConstI32 ids, int64_t n, float factor, DevF32 out, Stream& stream) {
  if (n == 0) return;
  const bool eight = in % 8 == 0 && wide(out.raw(), in, 4);
  const auto gather = [&](auto rows) {
    using T = std::remove_cv_t<std::remove_pointer_t<decltype(rows)>>;
    launch(eight ? gatherRowsOfKernel<8, T> : gatherRowsOfKernel<1, T>, "gatherWeightRows",
           rowGrid(n, in, eight ? 8 : 1), {kThreads}, 0, stream, rows, ld, scales, in, ids.raw(), n, factor, out.raw());
  };
  switch (format) {
    case WeightFormat::kF32:
      return gather(reinterpret_cast<const float*>(data));
    case WeightFormat::kBF16:
      return gather(reinterpret_cast<const __nv_bfloat16*>(data));
    case WeightFormat::kI8Channel:
      return gather(reinterpret_cast<const int8_t*>(data));
    case WeightFormat::kNF4:
      return gatherNf4(data, scales, in, ids, n, factor, out, stream);
  }
}

}  // namespace mlit::cuda
