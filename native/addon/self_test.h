// A few small computations with known answers, run where the package is installed: a wrong build or a processor that
// is not what it claims shows here before it shows in a model.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"

namespace mlit::addon {

struct Check {
  std::string name;
  bool passed = false;
  std::string detail;  // the largest difference, or the error
};

std::vector<Check> selfTest(Backend& backend);
// Of a backend that multiplies integers: not one sum may differ.
Check integerSelfTest(Backend& integers);

}  // namespace mlit::addon
