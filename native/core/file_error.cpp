// Why a file of its own: three readers and one writer must speak with one voice.
#include "core/file_error.h"

#include <cerrno>
#include <system_error>

namespace mlit {

namespace {

// Length of the well-formed UTF-8 sequence that text begins with; 0 when it is malformed or a control character.
size_t sequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7F ? 1 : 0;
  const size_t length = lead >= 0xF0 && lead <= 0xF4  ? 4
                        : lead >= 0xE0 && lead < 0xF0 ? 3
                        : lead >= 0xC2 && lead < 0xE0 ? 2
                                                      : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  // Overlong forms, surrogates and what lies above U+10FFFF show in the second byte.
  const unsigned char second = byte(1);
  if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
      (lead == 0xF4 && second > 0x8F))
    return 0;
  return length;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr size_t kLimit = 96;
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const size_t length = sequenceLength(text.substr(i));
    if (out.size() + (length ? length : 1) > kLimit) return out + "…";
    if (length == 0) {
      out += '?';
      ++i;
    } else {
      out.append(text.substr(i, length));
      i += length;
    }
  }
  return out;
}

Error damagedFile(const std::string& file, const std::string& what, Error::Fields fields) {
  fields.insert(fields.begin(), {"file", file});
  return Error(ErrorCode::kFileDamaged,
               file + ": " + what + " The file is damaged or incomplete: download or copy it again.",
               std::move(fields));
}

Error systemError(const std::string& doing, const std::string& file, int errorNumber) {
  const std::string reason = std::generic_category().message(errorNumber);
  Error::Fields fields{{"file", file}, {"reason", reason}};
  if (errorNumber == ENOENT || errorNumber == ENOTDIR)
    return Error(ErrorCode::kFileNotFound,
                 doing + " " + file + " failed: there is no such file or folder. Check the path.", std::move(fields));
  std::string advice;
  if (errorNumber == ENOSPC || errorNumber == EDQUOT)
    advice = " The disk is full: free some space or choose another folder.";
  else if (errorNumber == EACCES || errorNumber == EPERM || errorNumber == EROFS)
    advice = " Check the permissions of the file and of its folder.";
  else if (errorNumber == EFBIG)
    advice = " The file would exceed the size that this process or file system allows.";
  return Error(ErrorCode::kFileIo, doing + " " + file + " failed: " + reason + "." + advice, std::move(fields));
}

}  // namespace mlit
