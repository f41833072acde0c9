// pread behind InputFile: the kernel answers for every byte, with a short count where a map would have a fault.
#include "core/input_file.h"

#include <fcntl.h>
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

InputFile::InputFile(const std::string& path) : path_(path) {
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
  size_ = static_cast<uint64_t>(status.st_size);
  mtimeNs_ = modificationTimeNs(status);
  descriptor_ = file.keep();
}

InputFile::~InputFile() { close(descriptor_); }

void InputFile::checkUnchanged() const {
  struct stat status {};
  const bool there = stat(path_.c_str(), &status) == 0;
  if (there && static_cast<uint64_t>(status.st_size) == size_ && modificationTimeNs(status) == mtimeNs_) return;
  throwChanged(there ? std::to_string(status.st_size) + " bytes" : "no file");
}

void InputFile::read(uint64_t offset, size_t count, void* out) const {
  for (auto* to = static_cast<uint8_t*>(out); count > 0;) {
    const ssize_t got = pread(descriptor_, to, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw systemError("Reading", path_, errno);
    if (got == 0) throwChanged("nothing at byte " + std::to_string(offset));
    offset += static_cast<uint64_t>(got);
    to += got;
    count -= static_cast<size_t>(got);
  }
  checkUnchanged();
}

std::string InputFile::text(uint64_t offset, size_t count) const {
  std::string bytes(count, '\0');
  read(offset, count, bytes.data());
  return bytes;
}

void InputFile::throwChanged(const std::string& actual) const {
  throw Error(
      ErrorCode::kFileDamaged,
      path_ + " was changed or removed while it was in use. Leave it alone until the work is done; open it again now.",
      {{"file", path_}, {"expected", std::to_string(size_) + " bytes, unchanged"}, {"actual", actual}});
}

}  // namespace mlit
