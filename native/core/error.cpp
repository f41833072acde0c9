// Names of the error codes, in one place so that C++ and TypeScript cannot drift apart unnoticed.
#include "core/error.h"

namespace mlit {

const char* errorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case ErrorCode::kFileNotFound:
      return "FILE_NOT_FOUND";
    case ErrorCode::kFileIo:
      return "FILE_IO";
    case ErrorCode::kFileDamaged:
      return "FILE_DAMAGED";
    case ErrorCode::kModelUnsupported:
      return "MODEL_UNSUPPORTED";
    case ErrorCode::kTensorMissing:
      return "TENSOR_MISSING";
    case ErrorCode::kTensorMismatch:
      return "TENSOR_MISMATCH";
    case ErrorCode::kOutOfMemory:
      return "OUT_OF_MEMORY";
    case ErrorCode::kNotFinite:
      return "NOT_FINITE";
    case ErrorCode::kDisposed:
      return "DISPOSED";
    case ErrorCode::kGradientsPending:
      return "GRADIENTS_PENDING";
    case ErrorCode::kStateMismatch:
      return "STATE_MISMATCH";
    case ErrorCode::kCancelled:
      return "CANCELLED";
    case ErrorCode::kDeviceUnavailable:
      return "DEVICE_UNAVAILABLE";
    case ErrorCode::kInternal:
      return "INTERNAL";
  }
  return "INTERNAL";
}

}  // namespace mlit
