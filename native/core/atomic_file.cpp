// The order is what makes it safe: data on disk before the name, and the name on disk before anyone is told.
#include "core/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "core/file_error.h"

namespace mlit {

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  static std::atomic<uint64_t> serial{0};
  const std::filesystem::path target(path);
  const std::string name = target.filename().string();
  if (name.empty() || name == "." || name == ".." || path.find('\0') != std::string::npos)
    throw Error(ErrorCode::kInvalidArgument, "Writing to \"" + printable(path) + "\" is not possible: name a file.",
                {{"file", printable(path)}});
  folder_ = target.has_parent_path() ? target.parent_path().string() : ".";
  // O_EXCL: a file left over by another process of the same number is never reused.
  for (int attempt = 0; attempt < 100 && fd_ < 0; ++attempt) {
    temporary_ = folder_ + "/." + name + "." + std::to_string(getpid()) + "-" + std::to_string(serial++) + ".tmp";
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) throw systemError("Creating", path_, errno);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) unlink(temporary_.c_str());
  temporary_.clear();
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (fd_ < 0) throw Error(ErrorCode::kInternal, path_ + " was already closed.", {{"file", path_}});
  constexpr size_t kChunk = size_t{1} << 30;  // one call may not take more than 2 GiB
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(fd_, next, std::min(bytes, kChunk));
    if (done < 0) {
      if (errno == EINTR) continue;
      const Error error = systemError("Writing byte " + std::to_string(written_) + " and following of", path_, errno);
      discard();
      throw error;
    }
    next += done;
    bytes -= static_cast<size_t>(done);
    written_ += static_cast<uint64_t>(done);
  }
}

void AtomicFile::commit() {
  if (fd_ < 0) throw Error(ErrorCode::kInternal, path_ + " was already closed.", {{"file", path_}});
  const auto fail = [&](const char* doing) {
    const Error error = systemError(doing, path_, errno);
    discard();
    throw error;
  };
  if (fsync(fd_) != 0) fail("Flushing");
  const int fd = fd_;
  fd_ = -1;
  if (close(fd) != 0) fail("Closing");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail("Renaming the finished file to");
  temporary_.clear();
  const int folder = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) throw systemError("Opening the folder of", path_, errno);
  const bool flushed = fsync(folder) == 0 || errno == EINVAL;  // EINVAL: a file system that has no folder flush
  const int reason = errno;
  close(folder);
  if (!flushed) throw systemError("Flushing the folder of", path_, reason);
}

}  // namespace mlit
