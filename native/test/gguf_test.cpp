// GGUF from every hostile side: whole files built by hand, cut at every byte, and with every bit of the header flipped.
#include "checkpoint/gguf.h"

#include <cstring>
#include <random>

#include "test/support.h"

namespace mlit {
namespace {

using test::expectError;
using test::TempDir;

// Appends the format's primitives to a string.
struct Bytes {
  std::string data;

  template <typename T>
  Bytes& put(T value) {
    data.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& u32(uint32_t v) { return put(v); }
  Bytes& u64(uint64_t v) { return put(v); }
  Bytes& text(const std::string& s) {
    u64(s.size());
    data += s;
    return *this;
  }
  Bytes& header(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
    data += "GGUF";
    return u32(version).u64(tensors).u64(keys);
  }
  // sizes: innermost first, as stored.
  Bytes& tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type, uint64_t offset) {
    text(name).u32(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) u64(size);
    return u32(type).u64(offset);
  }
  Bytes& align(size_t alignment) {
    data.append((alignment - data.size() % alignment) % alignment, '\0');
    return *this;
  }
  Bytes& floats(const std::vector<float>& values) {
    for (const float value : values) put(value);
    return *this;
  }
};

enum : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

// Every value type, two tensors, alignment 64.
std::string sample(uint32_t version = 3) {
  Bytes b;
  b.header(2, 24, version);
  b.text("general.architecture").u32(kString).text("llama");
  b.text("general.alignment").u32(kU32).u32(64);
  b.text("u8").u32(kU8).put(uint8_t{200});
  b.text("i8").u32(kI8).put(int8_t{-5});
  b.text("u16").u32(kU16).put(uint16_t{60000});
  b.text("i16").u32(kI16).put(int16_t{-300});
  b.text("i32").u32(kI32).put(int32_t{-70000});
  b.text("u64").u32(kU64).u64(~0ull);
  b.text("i64").u32(kI64).put(int64_t{-1} << 40);
  b.text("f32").u32(kF32).put(0.5f);
  b.text("f64").u32(kF64).put(0.1);
  b.text("bool").u32(kBool).put(uint8_t{1});
  b.text("a.u8").u32(kArray).u32(kU8).u64(2).put(uint8_t{1}).put(uint8_t{255});
  b.text("a.i8").u32(kArray).u32(kI8).u64(1).put(int8_t{-1});
  b.text("a.u16").u32(kArray).u32(kU16).u64(1).put(uint16_t{65535});
  b.text("a.i16").u32(kArray).u32(kI16).u64(1).put(int16_t{-2});
  b.text("a.u32").u32(kArray).u32(kU32).u64(1).u32(~0u);
  b.text("a.i32").u32(kArray).u32(kI32).u64(2).put(int32_t{3}).put(int32_t{-4});
  b.text("a.u64").u32(kArray).u32(kU64).u64(1).u64(1ull << 40);
  b.text("a.i64").u32(kArray).u32(kI64).u64(1).put(int64_t{-9});
  b.text("a.f32").u32(kArray).u32(kF32).u64(2).floats({1.5f, -2.5f});
  b.text("a.f64").u32(kArray).u32(kF64).u64(1).put(2.25);
  b.text("a.bool").u32(kArray).u32(kBool).u64(2).put(uint8_t{0}).put(uint8_t{1});
  b.text("a.string").u32(kArray).u32(kString).u64(3).text("x").text("").text(std::string("\xE2\x96\x81\0", 4));
  b.tensor("first", {3, 2}, 0, 0).tensor("second", {4}, 1, 64);
  b.align(64).floats({1, 2, 3, 4, 5, 6}).align(64);
  for (const uint16_t half : {0x3C00, 0xBC00, 0x0001, 0x7BFF}) b.put(half);
  return b.data;
}

// Opens and reads everything, as a loader would.
void readGgufWhole(const std::string& path) {
  const auto file = openGguf(path);
  for (const TensorInfo& tensor : file->tensors()) {
    const int64_t count = elementCount(tensor.shape);
    std::vector<float> values(static_cast<size_t>(count));
    file->readRows(tensor, 0, tensor.shape.size() < 2 ? 1 : count / tensor.shape.back(), values.data());
  }
}

class Gguf : public testing::Test {
 protected:
  TempDir dir_;
  std::string path_ = dir_.file("model.gguf");

  void refuses(const Bytes& bytes, ErrorCode code, const std::vector<std::string>& parts) {
    test::writeFile(path_, bytes.data);
    expectError(code, parts, [&] { readGgufWhole(path_); });
  }
  void damaged(const Bytes& bytes, const std::vector<std::string>& parts) {
    refuses(bytes, ErrorCode::kFileDamaged, parts);
  }
};

TEST_F(Gguf, ReadsEveryTypeOfMetadata) {
  test::writeFile(path_, sample());
  const auto file = openGguf(path_);
  EXPECT_EQ(file->metadata().size(), 24u);
  EXPECT_EQ(file->text("general.architecture"), "llama");
  EXPECT_EQ(file->integer("u8"), 200);
  EXPECT_EQ(file->integer("i8"), -5);
  EXPECT_EQ(file->integer("u16"), 60000);
  EXPECT_EQ(file->integer("i16"), -300);
  EXPECT_EQ(file->integer("i32"), -70000);
  EXPECT_EQ(file->integer("i64"), int64_t{-1} << 40);
  EXPECT_EQ(file->number("f32"), 0.5);
  EXPECT_EQ(file->number("f64"), 0.1);
  EXPECT_EQ(file->number("i8"), -5.0);
  EXPECT_EQ(file->number("u64"), 18446744073709551615.0);
  const auto& all = file->metadata();
  EXPECT_EQ(all.at("bool"), GgufValue(true));
  EXPECT_EQ(all.at("u64"), GgufValue(uint64_t{~0ull}));
  EXPECT_EQ(all.at("a.u8"), GgufValue(std::vector<int32_t>{1, 255}));
  EXPECT_EQ(all.at("a.i8"), GgufValue(std::vector<int32_t>{-1}));
  EXPECT_EQ(all.at("a.u16"), GgufValue(std::vector<int32_t>{65535}));
  EXPECT_EQ(all.at("a.i16"), GgufValue(std::vector<int32_t>{-2}));
  EXPECT_EQ(all.at("a.u32"), GgufValue(std::vector<int64_t>{4294967295}));
  EXPECT_EQ(all.at("a.i32"), GgufValue(std::vector<int32_t>{3, -4}));
  EXPECT_EQ(all.at("a.u64"), GgufValue(std::vector<int64_t>{int64_t{1} << 40}));
  EXPECT_EQ(all.at("a.i64"), GgufValue(std::vector<int64_t>{-9}));
  EXPECT_EQ(all.at("a.f32"), GgufValue(std::vector<float>{1.5f, -2.5f}));
  EXPECT_EQ(all.at("a.f64"), GgufValue(std::vector<double>{2.25}));
  EXPECT_EQ(all.at("a.bool"), GgufValue(std::vector<bool>{false, true}));
  EXPECT_EQ(all.at("a.string"), GgufValue(std::vector<std::string>{"x", "", std::string("\xE2\x96\x81\0", 4)}));
}

TEST_F(Gguf, ReadsTensorsRowByRowInBothVersions) {
  for (const uint32_t version : {2u, 3u}) {
    test::writeFile(path_, sample(version));
    const auto file = openGguf(path_);
    ASSERT_EQ(file->tensors().size(), 2u);
    EXPECT_EQ(file->find("third"), nullptr);
    const TensorInfo* first = file->find("first");
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(first->shape, (Shape{2, 3}));
    float row[4];
    file->readRows(*first, 1, 1, row);
    EXPECT_EQ(row[0], 4.0f);
    EXPECT_EQ(row[2], 6.0f);
    file->readRows(*file->find("second"), 0, 1, row);
    EXPECT_EQ(row[0], 1.0f);
    EXPECT_EQ(row[1], -1.0f);
    EXPECT_EQ(row[2], 5.9604645e-8f);
    EXPECT_EQ(row[3], 65504.0f);
    EXPECT_EQ(test::readFile(path_)[file->find("second")->offset + 1], 0x3C);
  }
}

TEST_F(Gguf, TypedAccessNamesKeyAndKind) {
  test::writeFile(path_, sample());
  const auto file = openGguf(path_);
  const auto refuses = [&](const std::vector<std::string>& parts, const std::function<void()>& action) {
    expectError(ErrorCode::kFileDamaged, parts, action);
  };
  refuses({"\"none\"", "missing"}, [&] { file->text("none"); });
  refuses({"\"u8\"", "a string", "an integer"}, [&] { file->text("u8"); });
  refuses({"\"f32\"", "an integer", "a float"}, [&] { file->integer("f32"); });
  refuses({"\"u64\"", "below 2^63"}, [&] { file->integer("u64"); });
  refuses({"\"a.string\"", "a number", "an array of strings"}, [&] { file->number("a.string"); });
  refuses({"\"bool\"", "an integer", "a boolean"}, [&] { file->integer("bool"); });
}

TEST_F(Gguf, RowsOutsideTheTensorAreTheCallersMistake) {
  test::writeFile(path_, sample());
  const auto file = openGguf(path_);
  float row[8];
  const std::pair<int64_t, int64_t> wrong[] = {{-1, 1},       {0, 3}, {3, 0}, {1, -1}, {INT64_MAX, INT64_MAX},
                                               {1, INT64_MAX}};
  for (const auto& [first, count] : wrong)
    expectError(ErrorCode::kInvalidArgument, {"first", "it has 2"},
                [&, f = first, c = count] { file->readRows(*file->find("first"), f, c, row); });
  TensorInfo foreign = *file->find("first");
  foreign.offset = 1ull << 50;
  expectError(ErrorCode::kInvalidArgument, {"first"}, [&] { file->readRows(foreign, 0, 1, row); });
  foreign = *file->find("first");
  foreign.shape = {2, 1 << 20};
  expectError(ErrorCode::kInvalidArgument, {"first"}, [&] { file->readRows(foreign, 0, 1, row); });
}

TEST_F(Gguf, AFileCutWhileOpenIsAnErrorNotACrash) {
  test::writeFile(path_, sample());
  const auto file = openGguf(path_);
  std::filesystem::resize_file(path_, 100);
  float row[4];
  expectError(ErrorCode::kFileDamaged, {path_, "changed"}, [&] { file->readRows(*file->find("first"), 0, 1, row); });
}

TEST_F(Gguf, EveryTruncationIsACleanError) {
  const std::string whole = sample();
  for (size_t size = 0; size < whole.size(); ++size) {
    test::writeFile(path_, whole.substr(0, size));
    const auto error = test::errorOf([&] { readGgufWhole(path_); });
    ASSERT_TRUE(error.has_value()) << "no error for the first " << size << " bytes";
    ASSERT_EQ(error->code(), ErrorCode::kFileDamaged) << size << ": " << error->what();
    ASSERT_EQ(test::fieldOf(*error, "file"), path_) << size;
  }
  test::writeFile(path_, whole.substr(0, whole.size() - 1));
  const auto error = test::errorOf([&] { readGgufWhole(path_); });
  EXPECT_EQ(test::fieldOf(*error, "tensor"), "second");
  const std::string range =
      "bytes " + std::to_string(whole.size() - 8) + " to " + std::to_string(whole.size()) + ", but the file has only";
  EXPECT_NE(std::string(error->what()).find(range), std::string::npos) << error->what();
}

// Each bit of each byte: the file either opens or is refused; sanitizers watch for the rest.
TEST_F(Gguf, NoFlippedBitCrashes) {
  const std::string whole = sample();
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      test::writeFile(path_, bytes);
      if (test::errorOf([&] { readGgufWhole(path_); })) ++refused;
    }
  EXPECT_GT(refused, 1000u);
}

TEST_F(Gguf, NoRandomDamageCrashes) {
  const std::string whole = sample();
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (int i = 0; i < 4; ++i) bytes[random() % bytes.size()] = static_cast<char>(random() % 2 ? 0xFF : random());
    test::writeFile(path_, bytes);
    const auto error = test::errorOf([&] { readGgufWhole(path_); });
    if (error) {
      ASSERT_TRUE(error->code() == ErrorCode::kFileDamaged || error->code() == ErrorCode::kModelUnsupported)
          << error->what();
    }
  }
}

TEST_F(Gguf, RefusesOtherFilesAndVersions) {
  Bytes other;
  other.data = "PK\x03\x04 something else";
  damaged(other, {"no GGUF file", path_});
  refuses(Bytes().header(0, 0, 1), ErrorCode::kModelUnsupported, {"version 1"});
  refuses(Bytes().header(0, 0, 0x03000000), ErrorCode::kModelUnsupported, {"big-endian"});
  refuses(Bytes().header(0, 0, 9), ErrorCode::kModelUnsupported, {"version 9"});
}

TEST_F(Gguf, RefusesImpossibleCounts) {
  const uint64_t huge = ~0ull;
  for (const uint64_t count : {huge, huge / 2, huge / 24 + 1, uint64_t{1} << 40}) {
    damaged(Bytes().header(count, 0), {"tensors", "left"});
    damaged(Bytes().header(0, count), {"metadata keys", "left"});
    damaged(Bytes().header(0, 1).u64(count).u64(0), {"metadata key 0", "left"});
    damaged(Bytes().header(0, 1).text("k").u32(kString).u64(count), {"\"k\"", "left"});
    for (const uint32_t type : {kU8, kU16, kI32, kF64, kU64, kBool, kString})
      damaged(Bytes().header(0, 1).text("k").u32(kArray).u32(type).u64(count).u64(0), {"\"k\"", "left"});
    damaged(Bytes().header(1, 0).u64(count).u64(0).u64(0), {"tensor's name", "left"});
  }
  damaged(Bytes().header(1, 0).text("t").u32(1'000'000).u64(0).u64(0), {"tensor t", "1000000 dimensions"});
}

TEST_F(Gguf, RefusesImpossibleMetadata) {
  damaged(Bytes().header(0, 1).text("k").u32(13).u64(0), {"\"k\"", "unknown value type 13"});
  damaged(Bytes().header(0, 1).text("k").u32(kArray).u32(77).u64(0), {"\"k\"", "unknown value type 77"});
  damaged(Bytes().header(0, 1).text("k").u32(kBool).put(uint8_t{2}), {"\"k\"", "boolean of value 2"});
  damaged(Bytes().header(0, 1).text("k").u32(kArray).u32(kU64).u64(1).u64(~0ull), {"\"k\"", "63 bits"});
  damaged(Bytes().header(0, 2).text("k").u32(kU8).put(uint8_t{1}).text("k").u32(kU8).put(uint8_t{1}),
          {"\"k\"", "twice"});
  refuses(Bytes().header(0, 1).text("k").u32(kArray).u32(kArray).u64(1).u32(kU8).u64(1).put(uint8_t{1}),
          ErrorCode::kModelUnsupported, {"\"k\"", "array of arrays"});
  for (const uint32_t alignment : {0u, 3u, 48u, ~0u})
    damaged(Bytes().header(0, 1).text("general.alignment").u32(kU32).u32(alignment),
            {"general.alignment", "power of two"});
  damaged(Bytes().header(0, 1).text("general.alignment").u32(kString).text("32"), {"general.alignment", "an integer"});
}

Bytes oneTensor(const std::vector<uint64_t>& sizes, uint32_t type, uint64_t offset) {
  Bytes bytes;
  bytes.header(1, 0).tensor("blk.0.w", sizes, type, offset).align(32).data.append(64, '\0');
  return bytes;
}

TEST_F(Gguf, RefusesImpossibleTensors) {
  const std::string name = "blk.0.w";
  damaged(oneTensor({0}, 0, 0), {name, "a size of 0"});
  damaged(oneTensor({1ull << 63}, 0, 0), {name, "a size of 9223372036854775808"});
  damaged(oneTensor({~0ull, ~0ull}, 0, 0), {name, "impossible"});
  damaged(oneTensor({1ull << 32, 1ull << 32}, 0, 0), {name, "impossible"});
  damaged(oneTensor({1ull << 40}, 0, 0), {name, "needs bytes 64 to 4398046511168, but the file has only 128 bytes"});
  damaged(oneTensor({1ull << 62}, 0, 0), {name, "larger than any file"});
  damaged(oneTensor({1ull << 62, 1}, 27, 0), {name, "larger than any file"});
  damaged(oneTensor({31}, 8, 0), {name, "Q8_0", "blocks of 32"});
  damaged(oneTensor({128, 2}, 12, 0), {name, "Q4_K", "blocks of 256"});
  damaged(oneTensor({4}, 0, 16), {name, "not a multiple of the alignment 32"});
  damaged(oneTensor({17}, 0, 0), {name, "but the file has only"});
  damaged(oneTensor({4}, 0, 64), {name, "but the file has only"});
  damaged(oneTensor({4}, 0, ~0ull - 31), {name, "but the file has only"});
  refuses(oneTensor({256}, 23, 0), ErrorCode::kModelUnsupported, {name, "IQ4_XS", "Q4_K"});
  refuses(oneTensor({256}, 4, 0), ErrorCode::kModelUnsupported, {name, "type number 4"});
  refuses(oneTensor({256}, 0xFFFFFFFF, 0), ErrorCode::kModelUnsupported, {name, "type number 4294967295"});
}

TEST_F(Gguf, RefusesRepeatedAndOverlappingTensors) {
  Bytes twice;
  twice.header(2, 0).tensor("w", {4}, 0, 0).tensor("w", {4}, 0, 32).align(32).data.append(64, '\0');
  damaged(twice, {"w", "twice"});
  Bytes overlap;
  overlap.header(2, 0).tensor("late", {4}, 0, 32).tensor("early", {9}, 0, 0).align(32).data.append(96, '\0');
  damaged(overlap, {"early and late overlap"});
}

}  // namespace
}  // namespace mlit
