// mlit_gpu_tests: the CUDA backend's tests on a card. Each stage is a process of its own, because after an error of the device a
// process can only end; the report is what can be attached to an issue. Without a card it says why and that it skipped, and
// is content. With any --gtest_ option it is a plain GoogleTest binary.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backend/cuda/runtime.h"
#include "backend/cuda/test/card/card.h"
#include "backend/cuda/test/card/stages.h"
#include "backend/cuda/test/device_under_test.h"

namespace mlit::test {

void device::expectNothingFound() { EXPECT_NO_THROW(cuda::synchronizeDevice()) << "an error of the device"; }

namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

constexpr const char* kHelp =
    "mlit_gpu_tests [--report=FILE] [--sanitizer=PATH | --no-sanitizer]\n"
    "  --report=FILE    what was found, as JSON (mlit-gpu-tests.json)\n"
    "  --sanitizer=PATH compute-sanitizer; else that on PATH or in /usr/local/cuda/bin\n"
    "  --gtest_…        run that alone, as any GoogleTest binary\n";

std::string sanitizerOnPath() {
  Words folders;
  std::string rest = std::getenv("PATH") == nullptr ? "" : std::getenv("PATH");
  while (!rest.empty()) {
    const size_t end = rest.find(':');
    folders.push_back(rest.substr(0, end));
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  folders.emplace_back("/usr/local/cuda/bin");
  for (const std::string& folder : folders) {
    const std::string file = folder + "/compute-sanitizer";
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return "";
}

// A program to its end: its exit status, or 128 and the signal's number.
int run(const Words& words) {
  const pid_t child = fork();
  if (child == 0) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    std::fprintf(stderr, "%s could not be started\n", arguments[0]);
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What GoogleTest wrote of a stage: its sums, and each failure in its words.
json readResults(const std::string& path) {
  json found{{"passed", 0}, {"failed", 0}, {"skipped", 0}, {"failures", json::array()}};
  std::ifstream file(path);
  const json all = json::parse(file, nullptr, false);
  if (all.is_discarded()) return found;
  const auto count = [&](const char* key) { found[key] = found[key].get<int>() + 1; };
  for (const json& suite : all.at("testsuites")) {
    for (const json& test : suite.at("testsuite")) {
      if (test.contains("failures")) {
        count("failed");
        found["failures"].push_back({{"test", suite["name"].get<std::string>() + "." + test["name"].get<std::string>()},
                                     {"message", test["failures"][0]["failure"]}});
      } else {
        count(test.value("result", "") == "SKIPPED" ? "skipped" : "passed");
      }
    }
  }
  return found;
}

// `words` before the binary: a sanitizer and its options, or nothing.
json runStage(const std::string& self, const std::string& name, const std::string& filter, Words words) {
  const std::string results =
      (std::filesystem::temp_directory_path() / ("mlit-gpu-" + std::to_string(getpid()))).string();
  for (const std::string& word :
       {self, "--gtest_filter=" + filter, "--gtest_output=json:" + results, std::string("--gtest_brief=1")}) {
    words.push_back(word);
  }
  std::printf("== %s\n", name.c_str());
  std::fflush(stdout);
  const auto start = std::chrono::steady_clock::now();
  const int status = run(words);
  json stage = readResults(results);
  std::filesystem::remove(results);
  stage["name"] = name;
  stage["exitStatus"] = status;
  stage["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("%s %s: %d passed, %d failed, %d skipped, exit status %d\n", status == 0 ? "ok  " : "FAIL", name.c_str(),
              stage["passed"].get<int>(), stage["failed"].get<int>(), stage["skipped"].get<int>(), status);
  return stage;
}

int runAll(const std::string& self, const std::string& report, const std::string& sanitizer) {
  json stages = json::array();
  bool good = true;
  const auto take = [&](json stage) {
    good = good && stage["exitStatus"] == 0;
    stages.push_back(std::move(stage));
  };
  for (const card::Stage& stage : card::kStages) {
    std::printf("\n%s\n", stage.what);
    take(runStage(self, stage.name, stage.filter, {}));
  }
  take(runStage(self, "everything else", card::filterOfTheRest(), {}));
  if (sanitizer.empty()) {
    std::printf("compute-sanitizer was not found: its part is left out\n");
  } else {
    // Few seeds: each access is checked, and what one schedule shows the next shows too.
    setenv("MLIT_EMULATION_SEEDS", "2", 1);
    for (const card::Stage& stage : card::kStages) {
      if (!stage.sanitized) continue;
      for (const std::string tool : {"memcheck", "racecheck", "synccheck"}) {
        take(runStage(self, std::string(stage.name) + " under " + tool, stage.filter,
                      {sanitizer, "--tool", tool, "--error-exitcode", "86"}));
      }
    }
  }
  const json all{
      {"program", "mlit_gpu_tests"}, {"version", MLIT_VERSION}, {"card", card::describe()}, {"stages", stages}};
  std::ofstream(report) << all.dump(1) << "\n";
  std::printf("\n%s. Written: %s\n", good ? "All passed" : "Something failed", report.c_str());
  return good ? 0 : 1;
}

}  // namespace
}  // namespace mlit::test

int main(int count, char** arguments) {
  using namespace mlit::test;  // NOLINT
  std::string report = "mlit-gpu-tests.json", sanitizer = sanitizerOnPath();
  bool plain = false;
  for (int i = 1; i < count; ++i) {
    const std::string word = arguments[i];
    if (word.starts_with("--gtest_")) {
      plain = true;
    } else if (word.starts_with("--report=")) {
      report = word.substr(9);
    } else if (word.starts_with("--sanitizer=")) {
      sanitizer = word.substr(12);
    } else if (word == "--no-sanitizer") {
      sanitizer.clear();
    } else {
      std::fprintf(stderr, "%s", kHelp);
      return word == "--help" ? 0 : 2;
    }
  }
  if (const std::string reason = card::unavailable(); !reason.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return 0;
  }
  if (!plain) return runAll(std::filesystem::read_symlink("/proc/self/exe").string(), report, sanitizer);
  ::testing::InitGoogleTest(&count, arguments);
  return RUN_ALL_TESTS();
}
