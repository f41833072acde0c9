// RMSNorm on the emulator: against float64 at odd sizes, for every pair of types, in place where backend.h allows it, twenty
// schedules each, a row's bits the same whatever rows stand beside it.
#include "backend/cuda/kernels/norm.h"

#include "backend/cuda/test/support.h"
#include "core/error.h"

namespace mlit::test {
namespace {

using Doubles = std::vector<double>;
constexpr ElementType kF32 = ElementType::kF32, kBF16 = ElementType::kBF16;
constexpr double kEpsilon = 1e-5f;

struct NormCase {
  int64_t rows;
  int32_t heads, dim;
  int64_t padding;
};

const NormCase kNormCases[] = {{1, 1, 1, 0},   {3, 1, 7, 2},    {5, 3, 16, 4},  {2, 4, 33, 5},   {9, 1, 640, 0},
                               {6, 2, 129, 3}, {2, 1, 2049, 0}, {3, 1, 516, 4}, {17, 1, 512, 0}, {2, 2, 513, 1}};

// Inputs as buffers of the types hold them, and what float64 makes of them.
struct Expected {
  std::vector<float> x, dy, weight, base;
  Doubles y, inverse, dx, ySum, dxSum;

  Expected(const NormCase& s, ElementType xType, ElementType dyType, ElementType baseType, uint64_t seed)
      : x(roundedTo(xType, randomFloats(s.rows * s.heads * s.dim, seed))),
        dy(roundedTo(dyType, randomFloats(s.rows * s.heads * s.dim, seed + 100))),
        weight(randomFloats(s.dim, seed + 200)),
        base(roundedTo(baseType, randomFloats(s.rows * s.heads * s.dim, seed + 300))),
        y(x.size()),
        inverse(static_cast<size_t>(s.rows * s.heads)),
        dx(x.size()),
        ySum(x.size()),
        dxSum(x.size()) {
    const auto dim = static_cast<size_t>(s.dim);
    for (size_t g = 0; g < inverse.size(); ++g) {
      double squares = 0, dot = 0;
      for (size_t i = 0; i < dim; ++i) squares += static_cast<double>(x[g * dim + i]) * x[g * dim + i];
      const double r = inverse[g] = 1 / std::sqrt(squares / s.dim + kEpsilon);
      for (size_t i = 0; i < dim; ++i) dot += static_cast<double>(dy[g * dim + i]) * weight[i] * x[g * dim + i];
      for (size_t i = g * dim; i < g * dim + dim; ++i) {
        y[i] = x[i] * r * weight[i - g * dim];
        dx[i] = r * (static_cast<double>(dy[i]) * weight[i - g * dim] - x[i] * r * r * dot / s.dim);
        ySum[i] = y[i] + base[i];
        dxSum[i] = dx[i] + base[i];
      }
    }
  }
};

std::string nameOf(const NormCase& s, std::initializer_list<ElementType> types) {
  std::string name = std::to_string(s.rows) + "x" + std::to_string(s.heads) + "x" + std::to_string(s.dim);
  for (const ElementType type : types) name += std::string(" ") + typeName(type);
  return name;
}

class Norm : public OnDevice {};

TEST_F(Norm, ForwardAgreesWithFloat64) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const NormCase& s : kNormCases) {
      for (const auto& [from, to] : {std::pair(kF32, kF32), {kF32, kBF16}, {kBF16, kF32}, {kBF16, kBF16}}) {
        begin(seed);
        const int64_t width = int64_t{s.heads} * s.dim, ld = width + s.padding;
        const Expected e(s, from, kF32, kF32, seed);
        const HeadRows rows{s.rows, ld, s.heads, s.dim};
        DeviceReals in(from, spread(e.x, s.rows, ld)), out(to, spread(e.base, s.rows, ld));
        DeviceArray<float> w(e.weight), base(spread(e.base, s.rows, ld)), inverse(e.inverse.size());
        const DevConstF32 weight(w.get());
        cuda::Stream stream;
        // With addTo, over itself where it may be; then y over x where it may be.
        const DevConstF32 addTo(to == kF32 ? reinterpret_cast<const float*>(out.get().bytes().raw()) : base.get());
        cuda::rmsNormForward(in.get(), rows, weight, 1e-5f, out.get(), ld, addTo, DevF32(inverse.get()), stream);
        stream.synchronize();
        const std::string name = nameOf(s, {from, to});
        expectReals(to, gather(out.read(), s.rows, width), e.ySum, 1e-6, name + " y added");
        expectClose(inverse.read(), e.inverse, 1e-6, name + " invRms");
        const DevReal y = from == to ? in.get() : out.get();
        cuda::rmsNormForward(in.get(), rows, weight, 1e-5f, y, ld, {}, {}, stream);
        stream.synchronize();
        expectReals(to, gather((from == to ? in : out).read(), s.rows, width), e.y, 1e-6, name + " y");
      }
    }
  }
}

TEST_F(Norm, BackwardAgreesWithFloat64) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    for (const NormCase& s : kNormCases) {
      for (const auto& [above, below] : {std::pair(kF32, kF32), {kF32, kBF16}, {kBF16, kF32}, {kBF16, kBF16}}) {
        begin(seed);
        const int64_t width = int64_t{s.heads} * s.dim, ld = width + s.padding;
        const int64_t lddy = ld + static_cast<int64_t>(seed % 2);  // aligned as x's rows are, or not
        const Expected e(s, below, above, below, seed);
        const HeadRows rows{s.rows, ld, s.heads, s.dim};
        const std::vector<float> exact(e.inverse.begin(), e.inverse.end());
        DeviceReals in(below, spread(e.x, s.rows, ld)), gradient(above, spread(e.dy, s.rows, lddy));
        DeviceReals sum(below, spread(e.base, s.rows, ld));
        DeviceArray<float> w(e.weight), inverse(exact);
        const DevConstF32 weight(w.get()), inv(inverse.get());
        cuda::Stream stream;
        cuda::rmsNormBackward(gradient.get(), lddy, in.get(), rows, weight, inv, sum.get(), ld, true, stream);
        stream.synchronize();
        const std::string name = nameOf(s, {above, below});
        // Of one element, dx is eps r², 1e-5 at least, of its two terms, each of which has three roundings of 2^-24.
        const double tolerance = s.dim == 1 ? 2e-2 : 1e-5;
        expectReals(below, gather(sum.read(), s.rows, width), e.dxSum, 3e-6, name + " dx accumulated");
        const bool over = above == below;  // dx over dy
        cuda::rmsNormBackward(gradient.get(), lddy, in.get(), rows, weight, inv, over ? gradient.get() : sum.get(),
                              over ? lddy : ld, false, stream);
        stream.synchronize();
        expectReals(below, gather((over ? gradient : sum).read(), s.rows, width), e.dx, tolerance, name + " dx");
      }
    }
  }
}

TEST_F(Norm, ARowsBitsAreItsOwn) {
  for (const ElementType type : {kF32, kBF16}) {
    begin(1);
    DeviceReals in(type, randomFloats(9 * 640, 1)), all(type, size_t{9 * 640}), one(type, size_t{640});
    DeviceArray<float> w(randomFloats(640, 2));
    const DevConstF32 weight(w.get());
    cuda::Stream stream;
    cuda::rmsNormForward(in.get(), {9, 640, 1, 640}, weight, 1e-6f, all.get(), 640, {}, {}, stream);
    stream.synchronize();
    const std::vector<float> together = all.read();
    for (int64_t r = 0; r < 9; ++r) {
      cuda::rmsNormForward(in.get() + r * 640, {1, 640, 1, 640}, weight, 1e-6f, one.get(), 640, {}, {}, stream);
      stream.synchronize();
      EXPECT_EQ(one.read(), std::vector<float>(together.begin() + r * 640, together.begin() + r * 640 + 640))
          << typeName(type) << " row " << r;
    }
  }
}

TEST_F(Norm, TypesThatDoNotMeetAreRefusedByName) {
  DeviceReals wide(kF32, size_t{4}), narrow(kBF16, size_t{4});
  cuda::Stream stream;
  try {
    cuda::rmsNormBackward(narrow.get(), 4, wide.get(), {1, 4, 1, 4}, {}, {}, narrow.get(), 4, false, stream);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_STREQ(error.what(), "rmsNormBackward has no kernel for dy bf16, x f32, dx bf16");
  }
}

}  // namespace
}  // namespace mlit::test
