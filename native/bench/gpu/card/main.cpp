// mlit_gpu_bench: tokens a second, utilisation and memory of a card, as JSON that can be attached to a report. Without a card it says why
// and that it skipped, and is content.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "backend/cuda/backend/backend_impl.h"
#include "backend/cuda/test/card/card.h"
#include "backend/cuda/test/device_under_test.h"
#include "bench/gpu/bench.h"
#include "bench/gpu/shapes.h"

namespace {

using namespace mlit;  // NOLINT

void printHelp() {
  std::string names;
  for (const bench::Shape& shape : bench::shapes()) names += std::string(names.empty() ? "" : ", ") + shape.name;
  std::printf(
      "mlit_gpu_bench [--NAME=VALUE]…\n"
      "  --shape=NAME         %s (gemma-3-270m)\n"
      "  --format=FORMAT      of the base: bf16, int8, nf4, f32 (bf16)\n"
      "  --recompute=LEVEL    none, activations, layer (none)\n"
      "  --tokens=N           of a step (8192)\n"
      "  --max-length=N       of a document (2048)\n"
      "  --steps=N            that are timed (10)\n"
      "  --rank=N             of the adapter, alpha is twice that (16)\n"
      "  --rows=N             sequences that are sampled at once (64)\n"
      "  --prompt-tokens=N    of each (128)\n"
      "  --new-tokens=N       of each (128)\n"
      "  --seed=N             of weights, documents and draws (1)\n"
      "  --teraflops=N        the card's dense bf16 rate, where its name is not in the table\n"
      "  --profile            NVTX ranges, and the share of each op\n"
      "  --json=FILE          writes the report there, else it is printed\n",
      names.c_str());
}

[[noreturn]] void refuse(const std::string& word) {
  std::fprintf(stderr, "mlit_gpu_bench does not understand '%s'; --help tells what there is\n", word.c_str());
  std::exit(2);
}

template <class T>
T choose(const std::map<std::string, T>& values, const std::string& value, const std::string& word) {
  const auto found = values.find(value);
  if (found == values.end()) refuse(word);
  return found->second;
}

struct Asked {
  bench::Options options;
  std::string json;
};

Asked readArguments(int count, char** words) {
  Asked asked;
  bench::Options& o = asked.options;
  const auto number = [](const std::string& value, const std::string& word) {
    char* end = nullptr;
    const long long parsed = std::strtoll(value.c_str(), &end, 10);
    if (value.empty() || *end != 0 || parsed < 1 || parsed > 1 << 30) refuse(word);
    return static_cast<int32_t>(parsed);
  };
  const std::map<std::string, WeightFormat> formats{{"bf16", WeightFormat::kBF16},
                                                    {"int8", WeightFormat::kI8Channel},
                                                    {"nf4", WeightFormat::kNF4},
                                                    {"f32", WeightFormat::kF32}};
  const std::map<std::string, Recompute> levels{
      {"none", Recompute::kNone}, {"activations", Recompute::kActivations}, {"layer", Recompute::kLayer}};
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    const std::map<std::string, std::function<void()>> options{
        {"--shape", [&] { o.shape = value; }},
        {"--format", [&] { o.format = choose(formats, value, word); }},
        {"--recompute", [&] { o.recompute = choose(levels, value, word); }},
        {"--tokens", [&] { o.tokens = number(value, word); }},
        {"--max-length", [&] { o.maxLength = number(value, word); }},
        {"--steps", [&] { o.steps = number(value, word); }},
        {"--rank", [&] { o.rank = number(value, word); }},
        {"--rows", [&] { o.rows = number(value, word); }},
        {"--prompt-tokens", [&] { o.promptTokens = number(value, word); }},
        {"--new-tokens", [&] { o.newTokens = number(value, word); }},
        {"--seed", [&] { o.seed = static_cast<uint64_t>(number(value, word)); }},
        {"--teraflops", [&] { o.teraflops = number(value, word); }},
        {"--profile", [&] { o.profile = true; }},
        {"--json", [&] { asked.json = value; }},
        {"--help",
         [&] {
           printHelp();
           std::exit(0);
         }},
    };
    choose(options, name, word)();
  }
  return asked;
}

}  // namespace

int main(int count, char** words) {
  const Asked asked = readArguments(count, words);
  if (const std::string reason = test::card::unavailable(); !reason.empty()) {
    std::printf("skipped: %s\n", reason.c_str());
    return 0;
  }
  try {
    bench::findShape(asked.options.shape);
    test::device::begin(asked.options.seed);
    nlohmann::json report =
        bench::run(asked.options, [] { return std::make_unique<cuda::CudaBackend>(0, test::device::cublasLt()); });
    report["program"] = "mlit_gpu_bench";
    report["version"] = MLIT_VERSION;
    report["card"] = test::card::describe();
    if (asked.json.empty()) {
      std::printf("%s\n", report.dump(1).c_str());
    } else {
      std::ofstream(asked.json) << report.dump(1) << "\n";
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mlit_gpu_bench: %s\n", error.what());
    return 1;
  }
}
