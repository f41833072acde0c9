// A cursor that never leaves its file: each read first asks whether that much is left, in a way that no hostile
// count can overflow, and a refusal says where and for what.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "core/file_error.h"
#include "core/input_file.h"

namespace mlit {

class ByteReader {
 public:
  explicit ByteReader(const InputFile& file) : file_(file) {}

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
    copy(&value, sizeof value);
    return value;
  }

  // 64-bit length, then the bytes.
  std::string readString(const std::string& what) {
    const uint64_t length = read<uint64_t>(what);
    require(length, 1, what);
    std::string text(static_cast<size_t>(length), '\0');
    copy(text.data(), text.size());
    return text;
  }

 private:
  static constexpr size_t kAhead = 64 * 1024;

  // count bytes that require() has found to be there.
  void copy(void* out, size_t count) {
    for (auto* to = static_cast<uint8_t*>(out); count > 0;) {
      if (taken_ == ahead_.size()) {
        ahead_.resize(static_cast<size_t>(std::min<uint64_t>(kAhead, remaining())));
        file_.read(position_, ahead_.size(), ahead_.data());
        taken_ = 0;
      }
      const size_t now = std::min(count, ahead_.size() - taken_);
      std::memcpy(to, ahead_.data() + taken_, now);
      taken_ += now;
      position_ += now;
      to += now;
      count -= now;
    }
  }

  const InputFile& file_;
  uint64_t position_ = 0;
  std::vector<uint8_t> ahead_;  // what was read of the file already, the first taken_ bytes of it before the cursor
  size_t taken_ = 0;
};

}  // namespace mlit
