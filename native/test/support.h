// What every native test needs: a folder that cleans up after itself, whole files in and out, the fixtures, and a
// way to catch mlit::Error with its fields.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"

namespace mlit::test {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mlit-test-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder can be made");
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) names.push_back(entry.path().filename());
    return names;
  }

 private:
  std::filesystem::path path_;
};

// test/fixtures of the repository.
std::filesystem::path fixturesFolder();

inline std::string fixture(const std::string& name) { return (fixturesFolder() / name).string(); }

inline std::string readFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// A new file each time: truncating an old one makes some file systems flush to disk, and tests write thousands.
inline void writeFile(const std::string& path, const std::string& bytes) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error("cannot write " + path);
}

// The mlit::Error that action throws, or nothing when it returns. Any other exception fails the test by itself.
inline std::optional<Error> errorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

inline std::string fieldOf(const Error& error, const std::string& name) {
  for (const auto& [key, value] : error.fields())
    if (key == name) return value;
  return "";
}

// Fails unless action throws mlit::Error with this code and a message that contains every one of the parts.
inline void expectError(ErrorCode code, const std::vector<std::string>& parts, const std::function<void()>& action) {
  const std::optional<Error> error = errorOf(action);
  ASSERT_TRUE(error.has_value()) << "expected " << errorCodeName(code) << ", but nothing was thrown";
  EXPECT_STREQ(errorCodeName(error->code()), errorCodeName(code)) << error->what();
  for (const std::string& part : parts)
    EXPECT_NE(std::string(error->what()).find(part), std::string::npos)
        << "no \"" << part << "\" in: " << error->what();
}

}  // namespace mlit::test
