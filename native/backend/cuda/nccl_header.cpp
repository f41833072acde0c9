// Compiles to nothing: where a toolkit has nccl.h, what nccl_api.h says of the library must be what the header says.
#if __has_include(<nccl.h>)
#include <nccl.h>

#include <type_traits>

#include "backend/cuda/nccl_api.h"

namespace mlit::cuda {
namespace {

template <class Ours, class Theirs>
constexpr bool same(Ours ours, Theirs theirs) {
  static_assert(sizeof(Ours) == sizeof(Theirs), "passed alike");
  return static_cast<long long>(ours) == static_cast<long long>(theirs);
}

static_assert(same(NcclResult::kSuccess, ncclSuccess));
static_assert(same(NcclResult::kSystemError, ncclSystemError));
static_assert(same(NcclResult::kInvalidUsage, ncclInvalidUsage));
static_assert(same(NcclResult::kInProgress, ncclInProgress));
static_assert(same(NcclType::kByte, ncclUint8));
static_assert(sizeof(NcclId) == sizeof(ncclUniqueId) && alignof(NcclId) == alignof(ncclUniqueId));

// A function of the table takes as many arguments of the same sizes as the header's.
template <class Ours, class Theirs>
struct Alike : std::false_type {};
template <class R, class... A, class S, class... B>
requires(sizeof...(A) == sizeof...(B)) struct Alike<R (*)(A...), S (*)(B...)> {
  static constexpr bool value =
      ((sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>)&&...) && sizeof(R) == sizeof(S);
};
#define MLIT_ALIKE(ours, theirs) static_assert(Alike<decltype(NcclApi::ours), decltype(&theirs)>::value)
MLIT_ALIKE(getVersion, ncclGetVersion);
MLIT_ALIKE(getErrorString, ncclGetErrorString);
MLIT_ALIKE(getUniqueId, ncclGetUniqueId);
MLIT_ALIKE(commInitRank, ncclCommInitRank);
MLIT_ALIKE(commDestroy, ncclCommDestroy);
MLIT_ALIKE(commAbort, ncclCommAbort);
MLIT_ALIKE(commGetAsyncError, ncclCommGetAsyncError);
MLIT_ALIKE(groupStart, ncclGroupStart);
MLIT_ALIKE(groupEnd, ncclGroupEnd);
MLIT_ALIKE(send, ncclSend);
MLIT_ALIKE(recv, ncclRecv);
#undef MLIT_ALIKE

}  // namespace
}  // namespace mlit::cuda
#endif
