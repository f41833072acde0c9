// Allocations of the emulated device and of pinned host memory.
#pragma once

#include "emulation/machine.h"

namespace mlit::emulation {

void resetMemory();
void openDevice(bool open);          // whether host instructions may reach it
void* allocateDevice(size_t bytes);  // null: no room
void releaseDevice(void* memory);
void* allocateHost(size_t bytes);
void releaseHost(void* memory);
bool isPinned(const void* memory, size_t bytes);  // all of it

}  // namespace mlit::emulation
