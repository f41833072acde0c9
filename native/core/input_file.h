// A file open for reading that remembers what it was: one rewritten, cut or removed under us must be an error at the next
// read. It is never mapped, for the pages behind the new end of a file that was cut meanwhile end the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mlit {

class InputFile {
 public:
  explicit InputFile(const std::string& path);  // kFileNotFound, kFileIo
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }  // bytes, at opening
  const std::string& path() const { return path_; }

  // Copies bytes [offset, offset + count) to out, from any thread. Throws kFileDamaged when size or mtime differ from those
  // at opening or the bytes are not there; kFileIo.
  void read(uint64_t offset, size_t count, void* out) const;
  // The same range as text.
  std::string text(uint64_t offset, size_t count) const;

 private:
  void checkUnchanged() const;
  [[noreturn]] void throwChanged(const std::string& actual) const;

  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
  int64_t mtimeNs_ = 0;
};

}  // namespace mlit
