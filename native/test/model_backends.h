// The backends that tests of whole models run on: each family of test/fixtures on every one, or on whichever is at hand.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <ostream>
#include <string>
#include <vector>

#include "backend_cases.h"

namespace mlit::test {

struct FamilyCase {
  std::string name;
  BackendFactory backend;
};

inline std::vector<FamilyCase> familyCases(std::initializer_list<const char*> names) {
  std::vector<FamilyCase> all;
  for (const BackendFactory& backend : backendFactories()) {
    for (const char* name : names) all.push_back({name, backend});
  }
  return all;
}

inline std::string familyCaseName(const ::testing::TestParamInfo<FamilyCase>& info) {
  std::string name = info.param.name + "_" + info.param.backend.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '-' || c == '/'; }, '_');
  return name;
}

inline void PrintTo(const FamilyCase& family, std::ostream* out) {
  *out << family.name << " on " << family.backend.name;
}

inline BackendFactory anyBackend() { return backendFactories().front(); }

}  // namespace mlit::test
