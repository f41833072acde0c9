// safetensors: the writer's bytes are pinned, the reader meets every cut, every flipped bit and headers made to hurt.
#include "checkpoint/safetensors.h"

#include <bit>
#include <cstring>
#include <random>

#include "test/support.h"

namespace mlit {
namespace {

using test::expectError;
using test::TempDir;

std::string withHeader(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

void readSafetensorsWhole(const std::string& path) {
  const auto file = openSafetensors(path);
  for (const TensorInfo& tensor : file->tensors()) {
    if (tensor.dtype == DType::kOther) continue;
    const int64_t count = elementCount(tensor.shape);
    const int64_t rows = count == 0 ? 0 : tensor.shape.size() < 2 ? 1 : count / tensor.shape.back();
    std::vector<float> values(static_cast<size_t>(count));
    file->readRows(tensor, 0, rows, values.data());
  }
}

class Safetensors : public testing::Test {
 protected:
  TempDir dir_;
  std::string path_ = dir_.file("a.safetensors");

  void damaged(const std::string& bytes, const std::vector<std::string>& parts,
               ErrorCode code = ErrorCode::kFileDamaged) {
    test::writeFile(path_, bytes);
    expectError(code, parts, [&] { readSafetensorsWhole(path_); });
  }
  // One F32 tensor w whose description is given, and 16 bytes of data.
  void damagedTensor(const std::string& description, const std::vector<std::string>& parts,
                     ErrorCode code = ErrorCode::kFileDamaged) {
    damaged(withHeader("{\"w\":" + description + "}", std::string(16, '\0')), parts, code);
  }
};

const float kMatrix[] = {1.0f, -2.0f, 0.5f, -0.0f, 1e-42f, 3e38f};
const int64_t kIntegers[] = {-1, int64_t{1} << 60};
const uint8_t kBytes[] = {7, 8, 9};

std::vector<TensorToWrite> sampleTensors() {
  return {{"b.weight", DType::kF32, {2, 3}, kMatrix},
          {"bytes", DType::kU8, {3}, kBytes},
          {"a \"steps\"", DType::kI64, {2}, kIntegers},
          {"empty", DType::kF32, {0, 4}, nullptr},
          {"scalar", DType::kF32, {}, kMatrix}};
}

TEST_F(Safetensors, WritesExactlyTheseBytes) {
  writeSafetensors(path_, {{"w", DType::kF32, {2}, kMatrix}, {"n", DType::kU8, {3}, kBytes}}, {{"format", "pt"}});
  const std::string header = R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                             R"("n":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(test::readFile(path_), withHeader(padded, std::string("\0\0\x80\x3F\0\0\0\xC0\x07\x08\x09", 11)));
}

TEST_F(Safetensors, RoundTripKeepsEveryByte) {
  const std::map<std::string, std::string> metadata{{"format", "pt"}, {"note", "ü \n \"q\""}};
  writeSafetensors(path_, sampleTensors(), metadata);
  EXPECT_EQ(safetensorsMetadata(path_), metadata);
  const auto file = openSafetensors(path_);
  ASSERT_EQ(file->tensors().size(), 5u);
  const TensorInfo* matrix = file->find("b.weight");
  ASSERT_NE(matrix, nullptr);
  EXPECT_EQ(matrix->shape, (Shape{2, 3}));
  float values[6];
  file->readRows(*matrix, 0, 2, values);
  EXPECT_EQ(std::memcmp(values, kMatrix, sizeof kMatrix), 0);
  file->readRows(*matrix, 1, 1, values);
  EXPECT_EQ(std::bit_cast<uint32_t>(values[0]), 0x80000000u);
  const TensorInfo* integers = file->find("a \"steps\"");
  ASSERT_NE(integers, nullptr);
  const std::string bytes = test::readFile(path_);
  EXPECT_EQ(std::memcmp(bytes.data() + integers->offset, kIntegers, sizeof kIntegers), 0);
  EXPECT_EQ(elementCount(file->find("empty")->shape), 0);
  file->readRows(*file->find("empty"), 0, 0, values);
  file->readRows(*file->find("scalar"), 0, 1, values);
  EXPECT_EQ(values[0], 1.0f);

  // Written again from what was read, and written twice: the same bytes.
  std::vector<TensorToWrite> again;
  for (const TensorToWrite& tensor : sampleTensors()) {
    const TensorInfo* stored = file->find(tensor.name);
    ASSERT_NE(stored, nullptr) << tensor.name;
    again.push_back({stored->name, stored->dtype, stored->shape, bytes.data() + stored->offset});
  }
  writeSafetensors(dir_.file("b.safetensors"), again, safetensorsMetadata(path_));
  EXPECT_EQ(test::readFile(path_), test::readFile(dir_.file("b.safetensors")));
  EXPECT_EQ(dir_.names().size(), 2u);
}

TEST_F(Safetensors, WriterRefusesWhatItCannotKeep) {
  const auto refuses = [&](const std::vector<TensorToWrite>& tensors, const std::vector<std::string>& parts) {
    expectError(ErrorCode::kInvalidArgument, parts, [&] { writeSafetensors(path_, tensors, {}); });
    EXPECT_TRUE(dir_.names().empty());
  };
  refuses({{"w", DType::kU8, {1}, kBytes}, {"w", DType::kU8, {1}, kBytes}}, {"\"w\" is taken"});
  refuses({{"__metadata__", DType::kU8, {1}, kBytes}}, {"__metadata__"});
  refuses({{"w", DType::kQ8_0, {32}, kBytes}}, {"w", "Q8_0"});
  refuses({{"w", DType::kU8, {-1}, kBytes}}, {"w", "[-1]"});
  refuses(
      {
          {"w", DType::kF32, {int64_t{1} << 62}, kBytes},
      },
      {"w", "impossible shape"});
  refuses({{"w", DType::kF32, {1}, nullptr}}, {"w", "no data"});
  refuses({{"\xFF", DType::kU8, {1}, kBytes}}, {"not UTF-8"});
  expectError(ErrorCode::kFileNotFound, {dir_.file("none/a")}, [&] { writeSafetensors(dir_.file("none/a"), {}, {}); });
}

TEST_F(Safetensors, EveryTruncationIsACleanError) {
  writeSafetensors(path_, sampleTensors(), {{"format", "pt"}});
  const std::string whole = test::readFile(path_);
  for (size_t size = 0; size < whole.size(); ++size) {
    test::writeFile(path_, whole.substr(0, size));
    const auto error = test::errorOf([&] { readSafetensorsWhole(path_); });
    ASSERT_TRUE(error.has_value()) << "no error for the first " << size << " bytes";
    ASSERT_EQ(error->code(), ErrorCode::kFileDamaged) << size << ": " << error->what();
    ASSERT_EQ(test::fieldOf(*error, "file"), path_) << size;
  }
  test::writeFile(path_, whole.substr(0, whole.size() - 1));
  const auto error = test::errorOf([&] { readSafetensorsWhole(path_); });
  EXPECT_EQ(test::fieldOf(*error, "tensor"), "scalar");
  test::writeFile(path_, whole + "x");
  expectError(ErrorCode::kFileDamaged, {"1 bytes follow the last tensor"}, [&] { readSafetensorsWhole(path_); });
}

TEST_F(Safetensors, NoFlippedBitCrashes) {
  writeSafetensors(path_, sampleTensors(), {{"format", "pt"}});
  const std::string whole = test::readFile(path_);
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      test::writeFile(path_, bytes);
      if (test::errorOf([&] { readSafetensorsWhole(path_); })) ++refused;
    }
  EXPECT_GT(refused, 500u);
}

TEST_F(Safetensors, NoRandomDamageCrashes) {
  writeSafetensors(path_, sampleTensors(), {{"format", "pt"}});
  const std::string whole = test::readFile(path_);
  std::mt19937 random(2);
  const std::string alphabet = "0123456789[]{},:\"-e.\\\xFF";
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (int i = 0; i < 3; ++i) bytes[8 + random() % (bytes.size() - 8)] = alphabet[random() % alphabet.size()];
    test::writeFile(path_, bytes);
    const auto error = test::errorOf([&] { readSafetensorsWhole(path_); });
    if (error) {
      ASSERT_TRUE(error->code() == ErrorCode::kFileDamaged || error->code() == ErrorCode::kModelUnsupported)
          << error->what();
    }
  }
}

TEST_F(Safetensors, RefusesImpossibleHeaders) {
  damaged(std::string(8, '\xFF') + "{}", {"claims 18446744073709551615 bytes"});
  damaged(std::string(8, '\0') + "{}", {"claims 0 bytes"});
  damaged(withHeader(" {}", ""), {"does not begin with '{'"});
  damaged(withHeader("{]", ""), {"JSON", "byte 1"});
  damaged(withHeader("{\"w\":" + std::string(100'000, '['), ""), {"deeper"});
  damaged(withHeader(R"({"__metadata__":{"a":1}})", ""), {"__metadata__"});
  damaged(withHeader(R"({"__metadata__":[]})", ""), {"__metadata__"});
  damaged(withHeader(R"({"w":1})", ""), {"tensor w", "\"dtype\" is missing"});
  const std::string tensor = R"({"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  damaged(withHeader("{\"w\":" + tensor + ",\"w\":" + tensor + "}", "x"), {"\"w\" twice"});
}

TEST_F(Safetensors, RefusesImpossibleTensors) {
  damagedTensor(R"({"shape":[4],"data_offsets":[0,16]})", {"w", "\"dtype\" is missing"});
  damagedTensor(R"({"dtype":"F32","data_offsets":[0,16]})", {"w", "\"shape\" is missing"});
  damagedTensor(R"({"dtype":"F32","shape":[4]})", {"w", "\"data_offsets\" is missing"});
  damagedTensor(R"({"dtype":7,"shape":[4],"data_offsets":[0,16]})", {"w", "dtype"});
  damagedTensor(R"({"dtype":"F33","shape":[4],"data_offsets":[0,16]})", {"w", "F33"}, ErrorCode::kModelUnsupported);
  damagedTensor(R"({"dtype":"F32","shape":4,"data_offsets":[0,16]})", {"w", "shape"});
  for (const char* size : {"-4", "4.0", "1e2", "\"4\"", "null", "18446744073709551616", "9223372036854775808", "[4]"})
    damagedTensor(std::string(R"({"dtype":"F32","shape":[)") + size + R"(],"data_offsets":[0,16]})", {"w", "shape"});
  damagedTensor(R"({"dtype":"F32","shape":[4],"data_offsets":[0,-16]})", {"w", "-16"});
  damagedTensor(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16,32]})", {"w", "pair"});
  damagedTensor(R"({"dtype":"F32","shape":[4],"data_offsets":[16,0]})", {"w", "end before they begin"});
  damagedTensor(R"({"dtype":"F32","shape":[3],"data_offsets":[0,16]})", {"w", "12 bytes", "16"});
  damagedTensor(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]})",
                {"w", "larger than any file"});
  damagedTensor(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,16]})",
                {"w", "larger than any file"});
  damagedTensor(R"({"dtype":"F4","shape":[3],"data_offsets":[0,1]})", {"w", "F4"});
  damagedTensor(R"({"dtype":"F32","shape":[8],"data_offsets":[0,32]})", {"w", "needs bytes", "but the file has only"});
  damagedTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,16]})", {"w", "gap", "8", "0"});
  damaged(
      withHeader(
          R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
          std::string(6, 'x')),
      {"tensor b", "overlap"});
}

TEST_F(Safetensors, ATypeThatCannotBeReadIsNamedWhenItIsRead) {
  test::writeFile(path_, withHeader(R"({"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", "xx"));
  const auto file = openSafetensors(path_);
  float out[2];
  expectError(ErrorCode::kModelUnsupported, {"tensor w", "F8_E4M3"},
              [&] { file->readRows(*file->find("w"), 0, 1, out); });
}

TEST_F(Safetensors, ReadsAFolderOfShards) {
  writeSafetensors(dir_.file("model-1.safetensors"),
                   {{"a", DType::kU8, {1}, kBytes}, {"spare", DType::kU8, {1}, kBytes}}, {});
  writeSafetensors(dir_.file("model-2.safetensors"), {{"b", DType::kU8, {3}, kBytes}}, {});
  const std::string index = dir_.file("model.safetensors.index.json");
  test::writeFile(
      index, R"({"metadata":{"total_size":4},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}})");
  const std::string folder = dir_.path().string();
  const auto source = openSafetensors(folder);
  ASSERT_EQ(source->tensors().size(), 2u);
  EXPECT_EQ(source->find("spare"), nullptr);
  float out[3];
  source->readRows(*source->find("b"), 0, 1, out);
  EXPECT_EQ(out[2], 9.0f);
  source->readRows(*source->find("a"), 0, 1, out);
  EXPECT_EQ(out[0], 7.0f);

  test::writeFile(index, R"({"weight_map":{"a":"model-2.safetensors"}})");
  expectError(ErrorCode::kFileDamaged, {"tensor a is missing", "model-2.safetensors", index},
              [&] { openSafetensors(folder); });
  test::writeFile(index, R"({"weight_map":{"a":"model-3.safetensors"}})");
  expectError(ErrorCode::kFileNotFound, {"model-3.safetensors", index}, [&] { openSafetensors(folder); });
  for (const char* name : {"../x", "/x", "", ".", "..", "a\\\\b", "a\\u0000b"}) {
    test::writeFile(index, std::string(R"({"weight_map":{"a":")") + name + "\"}}");
    expectError(ErrorCode::kFileDamaged, {index, "tensor a"}, [&] { openSafetensors(folder); });
  }
  test::writeFile(index, R"({"weight_map":{"a":"x","a":"y"}})");
  expectError(ErrorCode::kFileDamaged, {index, "twice"}, [&] { openSafetensors(folder); });
  test::writeFile(index, "[]");
  expectError(ErrorCode::kFileDamaged, {index, "weight_map"}, [&] { openSafetensors(folder); });
  test::writeFile(index, "");
  expectError(ErrorCode::kFileDamaged, {index, "JSON"}, [&] { openSafetensors(folder); });
}

TEST_F(Safetensors, AFolderNamesWhatItLacks) {
  const std::string folder = dir_.path().string();
  expectError(ErrorCode::kFileNotFound, {folder, "neither model.safetensors nor"}, [&] { openSafetensors(folder); });
  test::writeFile(dir_.file("pytorch_model.bin"), "x");
  expectError(ErrorCode::kFileNotFound, {"convert"}, [&] { openSafetensors(folder); });
  writeSafetensors(dir_.file("model.safetensors"), {{"w", DType::kU8, {3}, kBytes}}, {});
  EXPECT_EQ(openSafetensors(folder)->tensors().size(), 1u);
}

}  // namespace
}  // namespace mlit
