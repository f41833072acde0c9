// Opening, noticing change, and the writer that leaves all or nothing: the ground under every checkpoint.
#include "core/input_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "checkpoint/byte_reader.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_header.h"
#include "core/atomic_file.h"
#include "core/file_error.h"
#include "core/json.h"
#include "test/support.h"

namespace mlit {
namespace {

using test::expectError;
using test::TempDir;

TEST(InputFile, GivesTheBytes) {
  const TempDir dir;
  test::writeFile(dir.file("a"), "hello");
  const InputFile file(dir.file("a"));
  EXPECT_EQ(file.text(0, file.size()), "hello");
  EXPECT_EQ(file.text(1, 3), "ell");
  EXPECT_EQ(file.path(), dir.file("a"));
}

TEST(InputFile, AnEmptyFileHasNoBytes) {
  const TempDir dir;
  test::writeFile(dir.file("empty"), "");
  const InputFile file(dir.file("empty"));
  EXPECT_EQ(file.size(), 0u);
  EXPECT_EQ(file.text(0, 0), "");
}

TEST(InputFile, NamesWhatCannotBeOpened) {
  const TempDir dir;
  expectError(ErrorCode::kFileNotFound, {dir.file("none"), "no such file"}, [&] { InputFile file(dir.file("none")); });
  expectError(ErrorCode::kFileNotFound, {"zero byte"}, [&] { InputFile file(std::string("a\0b", 3)); });
  expectError(ErrorCode::kFileIo, {dir.path().string(), "a folder"}, [&] { InputFile file(dir.path().string()); });
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  expectError(ErrorCode::kFileIo, {"not a regular file"}, [&] { InputFile file(dir.file("pipe")); });
}

TEST(InputFile, NoticesChange) {
  const TempDir dir;
  test::writeFile(dir.file("a"), "hello");
  const InputFile file(dir.file("a"));
  test::writeFile(dir.file("a"), "hell");
  expectError(ErrorCode::kFileDamaged, {dir.file("a"), "changed"}, [&] { file.text(0, 4); });
  std::filesystem::remove(dir.file("a"));
  expectError(ErrorCode::kFileDamaged, {"removed"}, [&] { file.text(0, 4); });
}

TEST(InputFile, RefusesWhatWasCutMeanwhile) {
  const TempDir dir;
  test::writeFile(dir.file("a"), std::string(1 << 20, 'x'));
  const InputFile file(dir.file("a"));
  std::vector<uint8_t> bytes(5000);
  file.read((1 << 20) - bytes.size(), bytes.size(), bytes.data());
  EXPECT_EQ(bytes, std::vector<uint8_t>(5000, 'x'));
  std::filesystem::resize_file(dir.file("a"), 4096);
  const std::vector<std::string> said = {dir.file("a"), "changed"};
  expectError(ErrorCode::kFileDamaged, said, [&] { file.read(500'000, bytes.size(), bytes.data()); });
  expectError(ErrorCode::kFileDamaged, said, [&] { file.read(4000, 200, bytes.data()); });
  expectError(ErrorCode::kFileDamaged, said, [&] { file.read(0, 1, bytes.data()); });
}

// Headers too: opening a file and reading it are two moments.
TEST(InputFile, HeadersOfAFileThatWasCutMeanwhileAreRefused) {
  const TempDir dir;
  const std::vector<std::string> said = {dir.file("a"), "changed"};
  const float values[2] = {1, 2};
  writeSafetensors(dir.file("a"), {{"w", DType::kF32, {2}, values}}, {});
  const InputFile tensors(dir.file("a"));
  EXPECT_EQ(readSafetensorsHeader(tensors, 0).tensors.size(), 1u);
  for (const size_t left : {size_t{20}, size_t{0}}) {
    std::filesystem::resize_file(dir.file("a"), left);
    expectError(ErrorCode::kFileDamaged, said, [&] { readSafetensorsHeader(tensors, 0); });
  }

  test::writeFile(dir.file("a"), std::string(200'000, 'x'));
  const InputFile bytes(dir.file("a"));
  ByteReader reader(bytes);
  EXPECT_EQ(reader.read<uint8_t>("a byte"), 'x');
  std::filesystem::resize_file(dir.file("a"), 100'000);
  // What is here already is given; where more has to come, the change is seen.
  EXPECT_EQ(reader.read<uint8_t>("a byte"), 'x');
  expectError(ErrorCode::kFileDamaged, said, [&] {
    for (int i = 0; i < 10'000; ++i) reader.read<uint64_t>("a number");
  });
}

TEST(AtomicFile, ReplacesTheOldFileAtCommitOnly) {
  const TempDir dir;
  test::writeFile(dir.file("a"), "old");
  AtomicFile file(dir.file("a"));
  file.write("ne");
  file.write("w");
  EXPECT_EQ(test::readFile(dir.file("a")), "old");
  file.commit();
  EXPECT_EQ(test::readFile(dir.file("a")), "new");
  EXPECT_EQ(dir.names().size(), 1u);
}

TEST(AtomicFile, LeavesNothingWhenAbandoned) {
  const TempDir dir;
  {
    AtomicFile file(dir.file("a"));
    file.write("half");
    EXPECT_EQ(dir.names().size(), 1u);
  }
  EXPECT_TRUE(dir.names().empty());
}

TEST(AtomicFile, NamesWhatCannotBeWritten) {
  const TempDir dir;
  expectError(ErrorCode::kFileNotFound, {dir.file("none/a")}, [&] { AtomicFile file(dir.file("none/a")); });
  expectError(ErrorCode::kInvalidArgument, {"name a file"}, [&] { AtomicFile file(dir.file("")); });
  std::filesystem::create_directories(dir.file("taken/inside"));
  expectError(ErrorCode::kFileIo, {dir.file("taken")}, [&] {
    AtomicFile file(dir.file("taken"));
    file.write("x");
    file.commit();
  });
  EXPECT_EQ(dir.names(), std::vector<std::string>{"taken"});
}

// A file size limit makes write(2) fail half-way as a full disk does, on every machine and without privileges.
class SizeLimit {
 public:
  explicit SizeLimit(rlim_t bytes) {
    previousHandler_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &previous_);
    const rlimit limit{bytes, previous_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SizeLimit() {
    setrlimit(RLIMIT_FSIZE, &previous_);
    signal(SIGXFSZ, previousHandler_);
  }

 private:
  rlimit previous_{};
  void (*previousHandler_)(int) = SIG_DFL;
};

TEST(AtomicFile, AWriteThatFailsHalfWayLeavesTheOldFile) {
  const TempDir dir;
  test::writeFile(dir.file("a"), "old");
  const std::string big(100'000, 'x');
  std::optional<Error> error;
  {
    const SizeLimit limit(4096);
    error = test::errorOf([&] {
      AtomicFile file(dir.file("a"));
      file.write(big);
      file.commit();
    });
  }
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code(), ErrorCode::kFileIo);
  EXPECT_EQ(test::fieldOf(*error, "file"), dir.file("a"));
  EXPECT_NE(std::string(error->what()).find("byte 4096"), std::string::npos) << error->what();
  EXPECT_EQ(test::readFile(dir.file("a")), "old");
  EXPECT_EQ(dir.names().size(), 1u);
}

TEST(FileError, SaysThatTheDiskIsFull) {
  const Error error = systemError("Writing", "weights.safetensors", ENOSPC);
  EXPECT_EQ(error.code(), ErrorCode::kFileIo);
  EXPECT_NE(std::string(error.what()).find("weights.safetensors"), std::string::npos);
  EXPECT_NE(std::string(error.what()).find("disk is full"), std::string::npos);
}

TEST(FileError, PrintableKeepsTextAndReplacesTheRest) {
  EXPECT_EQ(printable("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
  EXPECT_EQ(printable("日本 ü"), "日本 ü");
  EXPECT_EQ(printable("a\nb\x7F\xFF\xC0\x80\xED\xA0\x80"), "a?b???????");
  EXPECT_EQ(printable("\xE3\x81"), "??");
  EXPECT_LE(printable(std::string(1'000'000, 'a')).size(), 100u);
}

TEST(Json, RefusesDepthRepetitionAndGarbage) {
  EXPECT_EQ(parseJson(R"({"a":[1,{"a":2}],"b":{"a":3}})", "f").root()["b"]["a"], 3);
  expectError(ErrorCode::kFileDamaged, {"f", "\"a\" twice"}, [] { parseJson(R"({"a":1,"b":2,"a":3})", "f"); });
  expectError(ErrorCode::kFileDamaged, {"deeper than 64"}, [] { parseJson(std::string(1'000'000, '['), "f"); });
  expectError(ErrorCode::kFileDamaged, {"more than 3 values"}, [] { parseJson("[1,2,3,4]", "f", {.values = 3}); });
  for (const char* text : {"", "{", "{\"a\":}", "\"\xFF\"", "{} x", "nul"})
    expectError(ErrorCode::kFileDamaged, {"JSON", "byte"}, [&] { parseJson(text, "f"); });
  expectError(ErrorCode::kFileDamaged, {"JSON", "1e999"}, [] { parseJson("[1e999]", "f"); });
}

}  // namespace
}  // namespace mlit
