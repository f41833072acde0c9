// What of NCCL is called, declared here so that the plug-in builds without nccl.h and loads without the library. Names in comments are
// the header's; its numbers and types have been the same since 2.7, and nccl_header.cpp holds them to the header where a toolkit has it.
#pragma once

#include <cstddef>
#include <string>

namespace mlit::cuda {

enum class NcclResult : int { kSuccess = 0, kSystemError = 2, kInvalidUsage = 5, kInProgress = 7 };  // ncclResult_t
enum class NcclType : int { kByte = 1 };                                                             // ncclUint8

struct NcclComm;
struct NcclId {  // ncclUniqueId: made by one rank, given to all
  char bytes[128];
};

// One pointer a function, each nccl and its name here.
struct NcclApi {
  NcclResult (*getVersion)(int* version);
  const char* (*getErrorString)(NcclResult result);
  NcclResult (*getUniqueId)(NcclId* id);
  NcclResult (*commInitRank)(NcclComm** comm, int ranks, NcclId id, int rank);
  NcclResult (*commDestroy)(NcclComm* comm);
  NcclResult (*commAbort)(NcclComm* comm);
  NcclResult (*commGetAsyncError)(NcclComm* comm, NcclResult* error);
  NcclResult (*groupStart)();
  NcclResult (*groupEnd)();
  NcclResult (*send)(const void* from, size_t count, NcclType type, int to, NcclComm* comm, void* stream);
  NcclResult (*recv)(void* to, size_t count, NcclType type, int from, NcclComm* comm, void* stream);
};

struct Nccl {
  NcclApi api{};
  std::string version;  // "2.28.9"
  std::string reason;   // why there is none; empty where there is one
};

// By its name, then in the folders of NVIDIA's wheels and of conda. Opened once.
const Nccl& nccl();

}  // namespace mlit::cuda
