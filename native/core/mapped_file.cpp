// POSIX mmap behind MappedFile, with the descriptor kept for reads that a cut file must not turn into a crash; size and mtime
// are what we compare later.
#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <utility>

#include "core/file_error.h"

namespace mlit {

namespace {

int64_t modificationTimeNs(const struct stat& status) {
  return static_cast<int64_t>(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec;
}

struct Descriptor {
  int fd;
  int keep() { return std::exchange(fd, -1); }
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  if (path.find('\0') != std::string::npos)
    throw Error(ErrorCode::kFileNotFound, "Opening " + printable(path) + " failed: the path contains a zero byte.",
                {{"file", printable(path)}});
  // O_NONBLOCK: opening a named pipe must fail below instead of waiting for a writer.
  Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) throw systemError("Opening", path, errno);
  struct stat status {};
  if (fstat(file.fd, &status) != 0) throw systemError("Reading the size of", path, errno);
  if (!S_ISREG(status.st_mode)) {
    const std::string kind = S_ISDIR(status.st_mode) ? "a folder" : "not a regular file";
    throw Error(ErrorCode::kFileIo, "Opening " + path + " failed: it is " + kind + ". Name a file.",
                {{"file", path}, {"expected", "a regular file"}, {"actual", kind}});
  }
  size_ = static_cast<size_t>(status.st_size);
  mtimeNs_ = modificationTimeNs(status);
  if (size_ == 0) return;  // an empty file cannot be mapped and needs no pages
  void* address = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) throw systemError("Mapping", path, errno);
  data_ = static_cast<const uint8_t*>(address);
  descriptor_ = file.keep();
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<uint8_t*>(data_), size_);
  if (descriptor_ >= 0) close(descriptor_);
}

void MappedFile::forget(uint64_t offset, uint64_t bytes) const {
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = (offset + page - 1) / page * page, end = (offset + bytes) / page * page;
  if (end > begin && end <= size_) madvise(const_cast<uint8_t*>(data_) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::checkUnchanged() const {
  struct stat status {};
  const bool there = stat(path_.c_str(), &status) == 0;
  if (there && static_cast<size_t>(status.st_size) == size_ && modificationTimeNs(status) == mtimeNs_) return;
  throwChanged(there ? std::to_string(status.st_size) + " bytes" : "no file");
}

void MappedFile::read(uint64_t offset, size_t count, uint8_t* out) const {
  while (count > 0) {
    const ssize_t got = pread(descriptor_, out, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw systemError("Reading", path_, errno);
    if (got == 0) throwChanged("nothing at byte " + std::to_string(offset));
    offset += static_cast<uint64_t>(got);
    out += got;
    count -= static_cast<size_t>(got);
  }
  checkUnchanged();
}

void MappedFile::throwChanged(const std::string& actual) const {
  throw Error(
      ErrorCode::kFileDamaged,
      path_ + " was changed or removed while it was in use. Leave it alone until the work is done; open it again now.",
      {{"file", path_}, {"expected", std::to_string(size_) + " bytes, unchanged"}, {"actual", actual}});
}

}  // namespace mlit
