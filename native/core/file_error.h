// Names found in a damaged file end up in messages: one place makes them printable and phrases the error alike
// for every format, so that the reader always learns which file, what is wrong and what to do.
#pragma once

#include <string>
#include <string_view>

#include "core/error.h"

namespace mlit {

// At most 96 bytes of text, with everything but printable ASCII and well-formed UTF-8 replaced by '?'.
std::string printable(std::string_view text);

// kFileDamaged: "<file>: <what> <what to do>", with the field "file" first.
Error damagedFile(const std::string& file, const std::string& what, Error::Fields fields = {});

// kFileIo, or kFileNotFound for a missing file, from an errno: "<doing> <file> failed: <reason>."
Error systemError(const std::string& doing, const std::string& file, int errorNumber);

}  // namespace mlit
