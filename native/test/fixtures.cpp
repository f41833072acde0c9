// The one file that knows where test/fixtures is: the environment's MLIT_TEST_FIXTURES wins over the place known at build time.
#include <stdlib.h>

#include "support.h"

namespace mlit::test {

std::filesystem::path fixturesFolder() {
  const char* chosen = getenv("MLIT_TEST_FIXTURES");
#ifdef MLIT_TEST_FIXTURES
  if (!chosen) chosen = MLIT_TEST_FIXTURES;
#endif
  return chosen ? chosen : "test/fixtures";
}

}  // namespace mlit::test
