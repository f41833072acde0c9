// A file that appears whole or not at all: a crash, a full disk or a pulled plug leaves the old file or none,
// never half a checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mlit {

class AtomicFile {
 public:
  // Creates a temporary file beside path, whose folder must exist. Throws kFileNotFound, kFileIo.
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();  // removes the temporary file unless commit() succeeded
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Appends. Throws kFileIo naming path and the reason, e.g. a full disk.
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }

  // fsync → rename over path → fsync of the folder. Throws kFileIo; path is then what it was before, except when only
  // the last step failed: then the new file is there, but may not survive a power cut.
  void commit();

 private:
  void discard() noexcept;

  std::string path_;
  std::string temporary_;
  std::string folder_;
  int fd_ = -1;
  uint64_t written_ = 0;
};

}  // namespace mlit
