// Findings: put into words where they are made, with source lines looked up only for those that are shown.
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "emulation/machine.h"

extern "C" const char __ehdr_start;  // NOLINT: the linker's name

namespace mlit::emulation {

namespace {
constexpr size_t kMostFindings = 50;

std::string place() {
  if (!machine.current) return std::string(" in ") + machine.opName;
  const Thread& t = *machine.current;
  const auto triple = [](const unsigned(&v)[3]) {
    return "(" + std::to_string(v[0]) + "," + std::to_string(v[1]) + "," + std::to_string(v[2]) + ")";
  };
  return std::string(" in ") + machine.opName + " block " + triple(machine.blockIndex) + " thread " + triple(t.index);
}
}  // namespace

const char* kindName(Kind kind) {
  switch (kind) {
    case Kind::kRace:
      return "race";
    case Kind::kUnwritten:
      return "read of unwritten memory";
    case Kind::kOutOfBounds:
      return "out of bounds";
    case Kind::kFreed:
      return "use after release";
    case Kind::kMisaligned:
      return "misaligned access";
    case Kind::kWild:
      return "wild access";
    case Kind::kInFlight:
      return "access to a copy in flight";
    case Kind::kBarrier:
      return "divergent barrier";
    case Kind::kCollective:
      return "divergent collective";
    case Kind::kDeadlock:
      return "deadlock";
    case Kind::kLaunch:
      return "illegal launch";
    case Kind::kReadOnly:
      return "read-only load of memory that is written";
    case Kind::kHostMemory:
      return "host memory";
    case Kind::kLibrary:
      return "misuse of a library";
  }
  return "?";
}

std::string at(const Site& site) {
  return site.file ? std::string(site.file) + ":" + std::to_string(site.line) : std::string("?");
}

void report(Kind kind, const std::string& what, const void* code, const Site* site) {
  const Inside inside;
  if (machine.findings.size() >= kMostFindings) return;
  for (const Finding& f : machine.findings) {
    if (f.kind == kind && f.code == code && code) return;  // the same line again
  }
  machine.findings.push_back(
      {kind, std::string(kindName(kind)) + ": " + what + place() + (site ? " at " + at(*site) : ""), code});
}

const std::vector<Finding>& findings() { return machine.findings; }
std::vector<Finding> takeFindings() { return std::exchange(machine.findings, {}); }

std::string describe(const Finding& finding) {
  if (!finding.code) return finding.text;
  char command[256];
  const auto offset = static_cast<size_t>(static_cast<const char*>(finding.code) - &__ehdr_start) - 1;
  std::snprintf(command, sizeof command, "addr2line -sie /proc/%d/exe 0x%zx 2>/dev/null", static_cast<int>(getpid()),
                offset);
  std::string lines;
  if (FILE* pipe = popen(command, "r")) {
    char line[512];
    while (std::fgets(line, sizeof line, pipe)) {
      std::string text(line);
      while (!text.empty() && text.back() == '\n') text.pop_back();
      lines += (lines.empty() ? " at " : " < ") + text;
    }
    pclose(pipe);
  }
  return finding.text + lines;
}

}  // namespace mlit::emulation
