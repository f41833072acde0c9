// Products of activations with weights through cuBLASLt, with one promise that the library does not make by itself: the bits of a
// row of the result depend on that row alone. So the algorithm is chosen once for a weight's shape and direction, whatever the
// number of rows, and where a call can't have it as it is (alignment, too few rows) the caller brings its rows to it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "backend/cuda/cublaslt_api.h"
#include "backend/cuda/runtime.h"

namespace mlit::cuda {

constexpr int64_t bytesOf(LtType type) { return type == LtType::kF32 ? 4 : 2; }

// y [rows, width] = x [rows, depth] · Wᵀ, W [width, depth] (forward), or x · W, W [depth, width] (backward). All row-major.
struct ProductShape {
  bool forward = true;
  int64_t width = 0, depth = 0;
  int64_t ldw = 0;  // of W, in elements; W's address is a multiple of 256 bytes, ldw of 16
  LtType in = LtType::kBF16, out = LtType::kBF16;

  auto operator<=>(const ProductShape&) const = default;
};

// What a call has to keep to for the shape's algorithm to take it. Lives as long as its Matmul.
class ProductPlan {
 public:
  // Whether x or y can be used where it lies: depends on addresses and leading dimensions, never on the number of rows.
  bool takesInput(const void* x, int64_t ldx) const;
  bool takesOutput(const void* y, int64_t ldy) const;
  int64_t leastRows() const { return leastRows_; }  // fewer are padded by the caller
  int64_t mostRows() const { return mostRows_; }    // more come in several calls
  // Leading dimensions of packed copies that are taken for certain.
  int64_t packedInput() const;
  int64_t packedOutput() const { return shape_.width; }

 private:
  friend class Matmul;
  template <class T>
  using Owned = std::unique_ptr<T, LtStatus (*)(T*)>;

  ProductPlan(const ProductShape& shape, Owned<LtMatmulDesc> desc, Owned<LtLayout> w, Owned<LtLayout> x,
              Owned<LtLayout> y)
      : shape_(shape), desc_(std::move(desc)), w_(std::move(w)), x_(std::move(x)), y_(std::move(y)) {}

  ProductShape shape_;
  Owned<LtMatmulDesc> desc_;
  Owned<LtLayout> w_, x_, y_;  // of x and y: rows and leading dimension are set for each call
  LtAlgorithm algorithm_{};
  int64_t leastRows_ = 1, mostRows_ = 1;
};

class Matmul {
 public:
  static constexpr int64_t kMostRows = 65536;  // of one call, whatever the algorithm takes

  // workspace: 256-byte aligned device memory, the caller's. Every product may use it, so all of them belong to one stream.
  Matmul(const CublasLtApi& api, void* workspace, size_t workspaceBytes);

  // The first use of a shape asks the library; nothing of it runs on the device.
  const ProductPlan& plan(const ProductShape& shape);

  // leastRows() <= rows <= mostRows(); takesInput(x, ldx) and takesOutput(y, ldy). accumulate: y += instead of y =.
  void run(const ProductPlan& plan, const void* w, const void* x, int64_t ldx, int64_t rows, void* y, int64_t ldy,
           bool accumulate, Stream& stream);

 private:
  template <class T>
  using Owned = ProductPlan::Owned<T>;

  Owned<LtLayout> layout(LtType type, int64_t width, int64_t rows, int64_t ld);
  ProductPlan describe(const ProductShape& shape);
  void choose(ProductPlan& plan);
  bool fits(const ProductPlan& plan, int64_t rows);
  void setRows(const ProductPlan& plan, int64_t rows, int64_t ldx, int64_t ldy);

  CublasLtApi api_;
  void* workspace_;
  size_t workspaceBytes_;
  Owned<LtHandle> handle_{nullptr, nullptr};
  std::map<ProductShape, ProductPlan> plans_;
};

}  // namespace mlit::cuda
