// Opening, noticing change, and the writer that leaves all or nothing: the ground under every checkpoint.
#include "core/mapped_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/atomic_file.h"
#include "core/file_error.h"
#include "core/json.h"
#include "test/support.h"

namespace mlit {
namespace {

using test::expectError;
using test::TempDir;

TEST(MappedFile, ShowsTheBytes) {
  const TempDir dir;
  test::writeFile(dir.file("a"), "hello");
  const MappedFile file(dir.file("a"));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.data()), file.size()), "hello");
  EXPECT_EQ(file.path(), dir.file("a"));
  file.checkUnchanged();
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const TempDir dir;
  test::writeFile(dir.file("empty"), "");
  EXPECT_EQ(MappedFile(dir.file("empty")).size(), 0u);
}

TEST(MappedFile, NamesWhatCannotBeOpened) {
  const TempDir dir;
  expectError(ErrorCode::kFileNotFound, {dir.file("none"), "no such file"}, [&] { MappedFile file(dir.file("none")); });
  expectError(ErrorCode::kFileNotFound, {"zero byte"}, [&] { MappedFile file(std::string("a\0b", 3)); });
  expectError(ErrorCode::kFileIo, {dir.path().string(), "a folder"}, [&] { MappedFile file(dir.path().string()); });
  ASSERT_EQ(mkfifo(dir.file("pipe").c_str(), 0600), 0);
  expectError(ErrorCode::kFileIo, {"not a regular file"}, [&] { MappedFile file(dir.file("pipe")); });
}

TEST(MappedFile, NoticesChange) {
  const TempDir dir;
  test::writeFile(dir.file("a"), "hello");
  const MappedFile file(dir.file("a"));
  test::writeFile(dir.file("a"), "hell");
  expectError(ErrorCode::kFileDamaged, {dir.file("a"), "changed"}, [&] { file.checkUnchanged(); });
  std::filesystem::remove(dir.file("a"));
  expectError(ErrorCode::kFileDamaged, {"removed"}, [&] { file.checkUnchanged(); });
}

TEST(MappedFile, ReadsWithoutTheMapWhatWasCutMeanwhile) {
  const TempDir dir;
  test::writeFile(dir.file("a"), std::string(1 << 20, 'x'));
  const MappedFile file(dir.file("a"));
  std::vector<uint8_t> bytes(5000);
  file.read((1 << 20) - bytes.size(), bytes.size(), bytes.data());
  EXPECT_EQ(bytes, std::vector<uint8_t>(5000, 'x'));
  std::filesystem::resize_file(dir.file("a"), 4096);
  const std::vector<std::string> said = {dir.file("a"), "changed"};
  // By the map this would be the end of the process.
  expectError(ErrorCode::kFileDamaged, said, [&] { file.read(500'000, bytes.size(), bytes.data()); });
  expectError(ErrorCode::kFileDamaged, said, [&] { file.read(4000, 200, bytes.data()); });
  expectError(ErrorCode::kFileDamaged, said, [&] { file.read(0, 1, bytes.data()); });
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
