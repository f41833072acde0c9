// Each check computes the same thing twice: by the backend, and here in double by the shortest loop that is obviously
// right. The inputs come from Philox, so that every machine checks the same numbers.
#include "addon/self_test.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>

#include "core/error.h"
#include "core/philox.h"

namespace mlit::addon {
namespace {

constexpr double kTolerance = 1e-4;  // of the largest value; float32 sums of a hundred terms stay far below

// Device memory with a host's view.
template <class T>
class Buffer {
 public:
  Buffer(Backend& backend, size_t count)
      : backend_(backend), bytes_(std::max<size_t>(count, 1) * sizeof(T)), count_(count) {
    memory_ = backend.allocate(bytes_);
    backend.zero(memory_, bytes_);
  }
  Buffer(Backend& backend, const std::vector<T>& values) : Buffer(backend, values.size()) {
    backend.upload(memory_, values.data(), values.size() * sizeof(T));
    backend.synchronize();
  }
  ~Buffer() { backend_.release(memory_, bytes_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  DevicePtr<T> at() const { return memory_.as<T>(); }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    backend_.download(values.data(), memory_, count_ * sizeof(T));
    backend_.synchronize();
    return values;
  }

 private:
  Backend& backend_;
  size_t bytes_;
  size_t count_;
  DevicePtr<std::byte> memory_;
};

using Floats = std::vector<float>;

Floats randoms(uint64_t stream, int64_t count, float bound = 1) {
  Floats values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = (2 * unitFloat(philox(20, stream, i)[0]) - 1) * bound;
  return values;
}

// The largest difference as a fraction of the largest expected value.
double difference(const Floats& got, const std::vector<double>& expected) {
  double most = 0, scale = 1e-30;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double apart = std::fabs(double{got[i]} - expected[i]);
    if (!(apart <= most)) most = std::isfinite(apart) ? apart : 1e30;
    scale = std::max(scale, std::fabs(expected[i]));
  }
  return most / scale;
}

// y = x·Wᵀ + scale·(x·Aᵀ)·bT and its gradients, in sizes that are no multiple of any vector or panel.
struct LinearCase {
  static constexpr int64_t rows = 5, in = 96, out = 130;
  static constexpr int32_t rank = 3;
  static constexpr float scale = 1.5f;
  Floats w = randoms(1, out*in), x = randoms(2, rows*in), a = randoms(3, rank*in), bT = randoms(4, rank*out),
         dy = randoms(5, rows*out);

  double projected(int64_t row, int32_t r) const {  // (x·Aᵀ)[row, r]
    double sum = 0;
    for (int64_t i = 0; i < in; ++i) sum += double{x[row * in + i]} * a[r * in + i];
    return sum;
  }
  double projectedGradient(int64_t row, int32_t r) const {  // (dy·B)[row, r]
    double sum = 0;
    for (int64_t o = 0; o < out; ++o) sum += double{dy[row * out + o]} * bT[r * out + o];
    return sum;
  }
};

double checkProducts(Backend& backend) {
  const LinearCase c;
  const WeightId weight = backend.createWeight(c.out, c.in, WeightFormat::kF32);
  backend.setWeightRows(weight, 0, c.out, c.w.data());
  const Buffer<float> x(backend, c.x), a(backend, c.a), bT(backend, c.bT), p(backend, c.rows * c.rank);
  const Buffer<float> y(backend, c.rows * c.out), alone(backend, c.out);
  const LoraSegment segment{0, static_cast<int32_t>(c.out), c.rank, 0, bT.at(), {}};
  const auto forward = [&](DevConstF32 from, int64_t rows, DevF32 to) {
    const LoraGroup group{0, static_cast<int32_t>(rows), c.scale, c.rank, a.at(), {}, {&segment, 1}};
    backend.linearForward(weight, from, c.in, rows, to, c.out, {&group, 1}, p.at());
  };
  forward(x.at(), c.rows, y.at());
  forward(DevConstF32(x.at()) + (c.rows - 1) * c.in, 1, alone.at());
  std::vector<double> expected;
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t o = 0; o < c.out; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < c.in; ++i) sum += double{c.x[row * c.in + i]} * c.w[o * c.in + i];
      for (int32_t r = 0; r < c.rank; ++r) sum += c.scale * c.projected(row, r) * c.bT[r * c.out + o];
      expected.push_back(sum);
    }
  }
  const Floats got = y.read(), one = alone.read();
  backend.destroyWeight(weight);
  if (std::memcmp(one.data(), got.data() + (c.rows - 1) * c.out, one.size() * sizeof(float)) != 0) {
    throw Error(ErrorCode::kInternal, "a row's bits depend on the rows computed with it");
  }
  return difference(got, expected);
}

double checkGradients(Backend& backend) {
  const LinearCase c;
  const WeightId weight = backend.createWeight(c.out, c.in, WeightFormat::kF32);
  backend.setWeightRows(weight, 0, c.out, c.w.data());
  const Buffer<float> x(backend, c.x), a(backend, c.a), bT(backend, c.bT), dy(backend, c.dy);
  const Buffer<float> p(backend, c.rows * c.rank), u(backend, c.rows * c.rank), dx(backend, c.rows * c.in),
      dA(backend, c.rank * c.in), dbT(backend, c.rank * c.out);
  const LoraSegment segment{0, static_cast<int32_t>(c.out), c.rank, 0, bT.at(), dbT.at()};
  const LoraGroup group{0, static_cast<int32_t>(c.rows), c.scale, c.rank, a.at(), dA.at(), {&segment, 1}};
  backend.linearBackward(weight, x.at(), c.in, c.rows, dy.at(), c.out, dx.at(), c.in, false, {&group, 1}, p.at(),
                         u.at());
  std::vector<double> expectedDx, expectedDa(static_cast<size_t>(c.rank * c.in)),
      expectedDb(static_cast<size_t>(c.rank * c.out));
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t i = 0; i < c.in; ++i) {
      double sum = 0;
      for (int64_t o = 0; o < c.out; ++o) sum += double{c.dy[row * c.out + o]} * c.w[o * c.in + i];
      for (int32_t r = 0; r < c.rank; ++r) sum += c.scale * c.projectedGradient(row, r) * c.a[r * c.in + i];
      expectedDx.push_back(sum);
    }
    for (int32_t r = 0; r < c.rank; ++r) {
      const double up = c.scale * c.projectedGradient(row, r), down = c.scale * c.projected(row, r);
      for (int64_t i = 0; i < c.in; ++i) expectedDa[r * c.in + i] += up * c.x[row * c.in + i];
      for (int64_t o = 0; o < c.out; ++o) expectedDb[r * c.out + o] += down * c.dy[row * c.out + o];
    }
  }
  const double most = std::max(
      {difference(dx.read(), expectedDx), difference(dA.read(), expectedDa), difference(dbT.read(), expectedDb)});
  backend.destroyWeight(weight);
  return most;
}

double checkAttention(Backend& backend) {
  constexpr int32_t kHeads = 4, kKvHeads = 2, kDim = 16, kWindow = 8;
  const std::vector<int32_t> documents{0, 17, 40};
  const int64_t rows = documents.back(), ldq = kHeads * kDim, ldkv = kKvHeads * kDim;
  const AttentionShape shape{kHeads, kKvHeads, kDim, 0.25f, kWindow};
  const Floats qHost = randoms(6, rows * ldq), kHost = randoms(7, rows * ldkv), vHost = randoms(8, rows * ldkv);
  const Buffer<float> q(backend, qHost), k(backend, kHost), v(backend, vHost), out(backend, rows * ldq),
      lse(backend, kHeads * rows);
  backend.attentionForward(shape, documents, q.at(), ldq, k.at(), v.at(), ldkv, out.at(), ldq, lse.at());
  std::vector<double> expected(static_cast<size_t>(rows * ldq));
  for (size_t d = 0; d + 1 < documents.size(); ++d) {
    for (int64_t t = documents[d]; t < documents[d + 1]; ++t) {
      for (int32_t h = 0; h < kHeads; ++h) {
        const int32_t kv = h / (kHeads / kKvHeads);
        double total = 0;
        double* sums = expected.data() + t * ldq + h * kDim;
        for (int64_t s = std::max<int64_t>(documents[d], t - kWindow + 1); s <= t; ++s) {
          double dot = 0;
          for (int32_t i = 0; i < kDim; ++i)
            dot += double{qHost[t * ldq + h * kDim + i]} * kHost[s * ldkv + kv * kDim + i];
          const double weight = std::exp(dot * shape.scale);
          total += weight;
          for (int32_t i = 0; i < kDim; ++i) sums[i] += weight * vHost[s * ldkv + kv * kDim + i];
        }
        for (int32_t i = 0; i < kDim; ++i) sums[i] /= total;
      }
    }
  }
  return difference(out.read(), expected);
}

double checkLoss(Backend& backend) {
  constexpr int64_t kRows = 3, kVocabulary = 1000;
  const Floats host = randoms(9, kRows * kVocabulary, 8);
  const std::vector<int32_t> targetsHost{0, 517, kVocabulary - 1};
  const Floats weightsHost{1, 0.5f, 2};
  const Buffer<float> logits(backend, host), weights(backend, weightsHost), logprobs(backend, kRows);
  const Buffer<int32_t> targets(backend, targetsHost);
  backend.crossEntropy(logits.at(), kRows, kVocabulary, targets.at(), weights.at(), logprobs.at());
  std::vector<double> expected, gradient;
  for (int64_t row = 0; row < kRows; ++row) {
    double total = 0;
    for (int64_t i = 0; i < kVocabulary; ++i) total += std::exp(double{host[row * kVocabulary + i]});
    expected.push_back(host[row * kVocabulary + targetsHost[row]] - std::log(total));
    for (int64_t i = 0; i < kVocabulary; ++i) {
      const double chosen = i == targetsHost[row] ? 1 : 0;
      gradient.push_back(weightsHost[row] * (std::exp(double{host[row * kVocabulary + i]}) / total - chosen));
    }
  }
  return std::max(difference(logprobs.read(), expected), difference(logits.read(), gradient));
}

double checkGreedy(Backend& backend) {
  constexpr int64_t kRows = 4, kVocabulary = 1000, kUsable = 990;
  const Floats host = randoms(10, kRows * kVocabulary, 8);
  const Buffer<float> logits(backend, host), logprobs(backend, kRows);
  const Buffer<int32_t> tokens(backend, static_cast<size_t>(kRows));
  const std::vector<SampleParams> params(kRows);
  backend.sampleRows(logits.at(), kRows, kVocabulary, kUsable, params, tokens.at(), logprobs.at());
  const std::vector<int32_t> got = tokens.read();
  for (int64_t row = 0; row < kRows; ++row) {
    const float* first = host.data() + row * kVocabulary;
    const auto best = static_cast<int32_t>(std::max_element(first, first + kUsable) - first);
    if (got[row] != best) {
      throw Error(ErrorCode::kInternal, "row " + std::to_string(row) + ": token " + std::to_string(got[row]) +
                                            " instead of " + std::to_string(best));
    }
  }
  return 0;
}

double checkOptimizer(Backend& backend) {
  constexpr int64_t kCount = 101;
  const Floats pHost = randoms(11, kCount), gHost = randoms(12, kCount);
  const Buffer<float> parameters(backend, pHost), gradients(backend, gHost), m(backend, kCount), v(backend, kCount),
      squares(backend, size_t{1});
  AdamWParams params;
  params.learningRate = 0.01f;
  params.weightDecay = 0.1f;
  params.gradScale = 0.5f;
  backend.sumSquares(gradients.at(), kCount, squares.at());
  backend.adamW(parameters.at(), gradients.at(), m.at(), v.at(), kCount, squares.at(), params);
  double sum = 0;
  for (const float g : gHost) sum += double{g} * g;
  const double norm = std::sqrt(sum) * params.gradScale;
  const double factor = params.gradScale * std::min(1.0, params.maxGradNorm / (norm + 1e-6));
  std::vector<double> expected;
  for (int64_t i = 0; i < kCount; ++i) {  // at the first step both corrected moments are the gradient's own powers
    const double g = gHost[i] * factor;
    expected.push_back(pHost[i] * (1 - double{params.learningRate} * params.weightDecay) -
                       params.learningRate * g / (std::fabs(g) + params.epsilon));
  }
  return difference(parameters.read(), expected);
}

// Whole numbers up to 127, which is among every 128 neighbours and at the end: rounding has nothing to do, every scale is 1, and a
// sum, below 2^24, has one value in integers and in floats. The first row is at the extreme, where 16 bits would not do.
Floats wholes(uint64_t stream, int64_t rows, int64_t width) {
  Floats values;
  for (const float value : randoms(stream, rows * width, 127)) values.push_back(std::nearbyint(value));
  for (int64_t i = 0; i < rows * width; ++i) {
    if (i < width || i % width % 128 == 0 || i % width == width - 1) values[i] = 127;
  }
  return values;
}

void requireEqual(const Floats& got, const std::vector<int64_t>& expected, const char* what) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (got[i] == static_cast<float>(expected[i])) continue;
    throw Error(ErrorCode::kInternal, std::string(what) + " " + std::to_string(i) + " is " + std::to_string(got[i]) +
                                          " instead of " + std::to_string(expected[i]));
  }
}

void checkIntegers(Backend& backend) {
  constexpr int64_t kRows = 45, kIn = 300, kOut = 131;  // whole tiles and rests of every unit
  const Floats w = wholes(13, kOut, kIn), xHost = wholes(14, kRows, kIn), dyHost = wholes(15, kRows, kOut);
  std::vector<int64_t> expectedY(kRows * kOut), expectedDx(kRows * kIn);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t o = 0; o < kOut; ++o) {
      for (int64_t i = 0; i < kIn; ++i) {
        const auto weight = static_cast<int64_t>(w[o * kIn + i]);
        expectedY[row * kOut + o] += static_cast<int64_t>(xHost[row * kIn + i]) * weight;
        expectedDx[row * kIn + i] += static_cast<int64_t>(dyHost[row * kOut + o]) * weight;
      }
    }
  }
  const WeightId weight = backend.createWeight(kOut, kIn, WeightFormat::kI8Channel);
  backend.setWeightRows(weight, 0, kOut, w.data());
  const Buffer<float> x(backend, xHost), dy(backend, dyHost), y(backend, kRows * kOut), dx(backend, kRows * kIn);
  backend.linearForward(weight, x.at(), kIn, kRows, y.at(), kOut, {}, {});
  backend.linearBackward(weight, x.at(), kIn, kRows, dy.at(), kOut, dx.at(), kIn, false, {}, {}, {});
  const Floats gotY = y.read(), gotDx = dx.read();
  backend.destroyWeight(weight);
  requireEqual(gotY, expectedY, "sum");
  requireEqual(gotDx, expectedDx, "gradient's sum");
}

}  // namespace

Check integerSelfTest(Backend& integers) {
  Check result{"integer products", false, ""};
  try {
    checkIntegers(integers);
    result.passed = true;
    result.detail = "every sum equal: " + integers.description();
  } catch (const std::exception& error) {
    result.detail = error.what();
  }
  return result;
}

std::vector<Check> selfTest(Backend& backend) {
  const std::pair<const char*, double (*)(Backend&)> checks[] = {
      {"products with LoRA", checkProducts}, {"their gradients", checkGradients},
      {"attention", checkAttention},         {"loss", checkLoss},
      {"greedy choice", checkGreedy},        {"optimizer", checkOptimizer},
  };
  std::vector<Check> results;
  for (const auto& [name, check] : checks) {
    Check result{name, false, ""};
    try {
      const double apart = check(backend);
      char text[64];
      std::snprintf(text, sizeof text, "largest difference %.1e, allowed %.0e", apart, kTolerance);
      result.passed = apart <= kTolerance;
      result.detail = text;
    } catch (const std::exception& error) {
      result.detail = error.what();
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace mlit::addon
