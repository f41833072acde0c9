// A read-only memory map that remembers what it mapped: a file rewritten under us must be noticed at the next
// read, and a short file must be an error before the first page fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mlit {

class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // kFileNotFound, kFileIo
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }

  // Gives the pages of a range back to the system; reading it again takes them from the file once more.
  void forget(uint64_t offset, uint64_t bytes) const;

  // Throws kFileDamaged when size or mtime differ from those at opening.
  void checkUnchanged() const;
  // Copies bytes [offset, offset + count) to out without touching the map, for whose pages behind the end of a file that
  // was cut meanwhile the system ends the process. Throws kFileDamaged as above, and where bytes are not there; kFileIo.
  void read(uint64_t offset, size_t count, uint8_t* out) const;

 private:
  [[noreturn]] void throwChanged(const std::string& actual) const;

  std::string path_;
  int descriptor_ = -1;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int64_t mtimeNs_ = 0;
};

}  // namespace mlit
