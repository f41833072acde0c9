// The allocator keeps what was freed, and more of it the larger a freed piece was: tens of megabytes of a load's buffers, which no
// plan has, would lie beside a run until the process ends.
#pragma once

namespace mlit {

// Gives pages of freed memory back to the system, where the C library can. Takes milliseconds: not for use within a step.
void returnFreedMemory();

}  // namespace mlit
