// The first question to a card: whether the bits of a row of cuBLASLt's products depend on that row alone. The same rows are multiplied
// together and in smaller numbers, around the edges that tiles have, by the matrices of known models, in both directions.
#include <algorithm>
#include <cstring>
#include <sstream>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/support.h"

namespace mlit::test {
namespace {

struct Matrix {
  const char* name;
  int64_t out, in;
  bool floats;  // results, as of a head
};

void PrintTo(const Matrix& matrix, std::ostream* out) { *out << matrix.name; }

const Matrix kMatrices[] = {
    {"gemma_3_270m_qkv", 1536, 640, false},    {"gemma_3_270m_gate_up", 4096, 640, false},
    {"gemma_3_270m_down", 640, 2048, false},   {"gemma_3_270m_head", 262144, 640, true},
    {"qwen3_0_6b_qkv", 4096, 1024, false},     {"qwen3_0_6b_gate_up", 6144, 1024, false},
    {"qwen3_0_6b_down", 1024, 3072, false},    {"llama_3_1_8b_qkv", 6144, 4096, false},
    {"llama_3_1_8b_o", 4096, 4096, false},     {"llama_3_1_8b_gate_up", 28672, 4096, false},
    {"llama_3_1_8b_down", 4096, 14336, false},
};

class ProductRows : public OnDevice, public ::testing::WithParamInterface<std::tuple<Matrix, bool>> {};

std::string nameOf(const ::testing::TestParamInfo<std::tuple<Matrix, bool>>& info) {
  return std::get<0>(info.param).name + std::string(std::get<1>(info.param) ? "_forward" : "_backward");
}

// Device memory of a backend, by bytes.
class Block {
 public:
  Block(Backend& backend, int64_t bytes)
      : backend_(backend), bytes_(static_cast<size_t>(bytes)), at_(backend.allocate(bytes_)) {}
  ~Block() { backend_.release(at_, bytes_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  DevicePtr<std::byte> at() const { return at_; }
  std::vector<std::byte> read(size_t bytes) const {
    std::vector<std::byte> host(bytes);
    backend_.download(host.data(), at_, bytes);
    backend_.synchronize();
    return host;
  }

 private:
  Backend& backend_;
  size_t bytes_;
  DevicePtr<std::byte> at_;
};

// The same few rows again and again: what a weight says does not matter here.
WeightId makeWeight(Backend& backend, int64_t out, int64_t in) {
  const WeightId weight = backend.createWeight(out, in, WeightFormat::kBF16);
  const int64_t some = std::min<int64_t>(out, 61);
  const std::vector<float> values = randomFloats(some * in, 1);
  for (int64_t first = 0; first < out; first += some) {
    backend.setWeightRows(weight, first, std::min(some, out - first), values.data());
  }
  return weight;
}

TEST_P(ProductRows, AreTheSameTogetherAndInSmallerNumbers) {
  const auto& [matrix, forward] = GetParam();
  // The emulator has a card's edges at a 64th of their size, and less time.
  const int64_t share = device::kernelCounts() ? 64 : 1;
  const int64_t out = matrix.out / share, in = (matrix.in / share + 7) / 8 * 8;
  const int64_t depth = forward ? in : out, width = forward ? out : in;
  const ElementType type = forward && matrix.floats ? ElementType::kF32 : ElementType::kBF16;
  const int64_t rows = share > 1 ? 40 : matrix.floats ? 600 : 2048, rowBytes = width * elementBytes(type);
  cuda::CudaBackend backend(0, device::cublasLt());
  const WeightId weight = makeWeight(backend, out, in);
  const Block x(backend, rows * depth * 2), together(backend, rows * rowBytes), apart(backend, rows * rowBytes);
  std::vector<uint16_t> values(static_cast<size_t>(rows * depth));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = floatToBfloat16(2 * unitFloat(philox(3, 1, i)[0]) - 1);
  }
  backend.upload(x.at(), values.data(), values.size() * 2);
  const auto multiply = [&](int64_t first, int64_t count, const Block& to) {
    const DevConstReal from = DevReal(x.at(), ElementType::kBF16) + first * depth;
    const DevReal result(to.at(), type);
    if (forward) {
      backend.linearForward(weight, from, depth, count, result, width, {}, {});
    } else {
      backend.linearBackward(weight, from, depth, count, from, depth, result, width, false, {}, {}, {});
    }
  };
  multiply(0, rows, together);
  const std::vector<std::byte> all = together.read(static_cast<size_t>(rows * rowBytes));

  std::ostringstream differing;
  for (int64_t edge = 1; edge <= rows; edge *= 2) {
    for (const int64_t count : {edge - 1, edge, edge + 1}) {
      if (count < 1 || count >= rows) continue;
      const int64_t first = count * 37 % (rows - count);
      multiply(first, count, apart);
      const std::vector<std::byte> part = apart.read(static_cast<size_t>(count * rowBytes));
      int64_t differ = 0;
      for (int64_t row = 0; row < count; ++row) {
        differ += std::memcmp(&part[static_cast<size_t>(row * rowBytes)],
                              &all[static_cast<size_t>((first + row) * rowBytes)], static_cast<size_t>(rowBytes)) != 0;
      }
      if (differ > 0) differing << " " << differ << " of " << count << " rows from row " << first << ";";
    }
  }
  backend.destroyWeight(weight);
  RecordProperty("rowsThatDiffer", differing.str());
  EXPECT_EQ(differing.str(), "") << "bits of rows changed with the number of rows beside them, of " << rows;
}

INSTANTIATE_TEST_SUITE_P(OnCard, ProductRows, ::testing::Combine(::testing::ValuesIn(kMatrices), ::testing::Bool()),
                         nameOf);

}  // namespace
}  // namespace mlit::test
