// Errors that a user can act on: a stable code, a sentence, and the facts as fields, so that the
// TypeScript side can rebuild the same error without parsing text.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace mlit {

// The closed set of codes that native code may raise; lib/native/errors.ts lists the same words.
enum class ErrorCode {
  kInvalidArgument,  // a caller's mistake: becomes RangeError in JavaScript
  kFileNotFound,
  kFileIo,
  kFileDamaged,       // truncated, overlapping, wrong magic, impossible sizes
  kModelUnsupported,  // architecture or option that this build does not know
  kTensorMissing,
  kTensorMismatch,  // shape or dtype does not fit
  kOutOfMemory,     // foreseen by the plan or refused by the system
  kNotFinite,       // NaN or infinity where training needs a number
  kDisposed,
  kGradientsPending,
  kStateMismatch,
  kCancelled,
  kDeviceUnavailable,
  kInternal,
};

const char* errorCodeName(ErrorCode code);  // "FILE_DAMAGED", ...

class Error : public std::runtime_error {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  Error(ErrorCode code, const std::string& message, Fields fields = {})
      : std::runtime_error(message), code_(code), fields_(std::move(fields)) {}

  ErrorCode code() const { return code_; }
  const Fields& fields() const { return fields_; }

 private:
  ErrorCode code_;
  Fields fields_;
};

}  // namespace mlit
