// Text files are small: one read, one parse, one atomic write.
#include "checkpoint/json_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.h"

namespace mlit {

namespace {

[[noreturn]] void failIo(const std::string& step, const std::string& path) {
  const int code = errno;
  const ErrorCode kind = code == ENOENT ? ErrorCode::kFileNotFound : ErrorCode::kFileIo;
  throw Error(kind, "could not " + step + " " + path + ": " + std::strerror(code), {{"file", path}});
}

struct Descriptor {
  int fd = -1;
  explicit Descriptor(int f) : fd(f) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::string readWhole(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) failIo("open", path);
  std::string text;
  char buffer[1 << 16];
  for (;;) {
    const ssize_t got = ::read(file.fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) failIo("read", path);
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace

nlohmann::json readJsonFile(const std::string& path) {
  const std::string text = readWhole(path);
  try {
    nlohmann::json value = nlohmann::json::parse(text);
    if (value.is_object()) return value;
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(ErrorCode::kFileDamaged,
                path + " is not valid JSON: parsing stopped at byte " + std::to_string(error.byte),
                {{"file", path}, {"byte", std::to_string(error.byte)}});
  }
  throw Error(ErrorCode::kFileDamaged, path + " must hold a JSON object", {{"file", path}});
}

void writeTextFile(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp" + std::to_string(::getpid());
  {
    const Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (file.fd < 0) failIo("create", temporary);
    size_t written = 0;
    while (written < text.size()) {
      const ssize_t n = ::write(file.fd, text.data() + written, text.size() - written);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int code = errno;
        ::unlink(temporary.c_str());
        errno = code;
        failIo("write", temporary);
      }
      written += static_cast<size_t>(n);
    }
    if (::fsync(file.fd) != 0) failIo("fsync", temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) failIo("rename to", path);
  const size_t slash = path.find_last_of('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd < 0 || ::fsync(directory.fd) != 0) failIo("fsync", folder);
}

}  // namespace mlit
