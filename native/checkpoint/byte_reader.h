// A cursor that never leaves its file: each read first asks whether that much is left, in a way that no hostile
// count can overflow, and a refusal says where and for what.
#pragma once

#include <cstring>
#include <string>

#include "core/file_error.h"
#include "core/mapped_file.h"

namespace mlit {

class ByteReader {
 public:
  explicit ByteReader(const MappedFile& file) : file_(file) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return file_.size() - position_; }
  const std::string& path() const { return file_.path(); }

  // Throws kFileDamaged unless count items of at least itemBytes (not 0) each can still follow. what: "a string".
  void require(uint64_t count, uint64_t itemBytes, const std::string& what) const {
    if (count <= remaining() / itemBytes) return;
    const std::string needed =
        std::to_string(count) +
        (itemBytes == 1 ? " bytes" : " items of at least " + std::to_string(itemBytes) + " bytes");
    throw damagedFile(path(),
                      what + " at byte " + std::to_string(position_) + " needs " + needed + ", but only " +
                          std::to_string(remaining()) + " bytes are left.",
                      {{"offset", std::to_string(position_)},
                       {"expected", needed},
                       {"actual", std::to_string(remaining()) + " bytes"}});
  }

  template <typename T>
  T read(const std::string& what) {
    require(sizeof(T), 1, what);
    T value;
    std::memcpy(&value, file_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }

  // 64-bit length, then the bytes.
  std::string readString(const std::string& what) {
    const uint64_t length = read<uint64_t>(what);
    require(length, 1, what);
    std::string text(reinterpret_cast<const char*>(file_.data() + position_), static_cast<size_t>(length));
    position_ += length;
    return text;
  }

 private:
  const MappedFile& file_;
  uint64_t position_ = 0;
};

}  // namespace mlit
