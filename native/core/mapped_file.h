// A read-only memory map that remembers what it mapped: a file rewritten under us must be noticed at the next
// open, and a short file must be an error before the first page fault.
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

  // Throws kFileDamaged when size or mtime differ from those at opening.
  void checkUnchanged() const;

 private:
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int64_t mtimeNs_ = 0;
};

}  // namespace mlit
