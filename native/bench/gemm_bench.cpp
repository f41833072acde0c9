// How close the matrix products come to what the processor can do: each case is timed beside a raw loop of fused
// multiply-adds, in turn, because on a shared machine only figures of the same moment can be compared.
// Usage: mlit_gemm_bench [threads [isa [repeats [filter]]]]; prints one JSON object a line.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backend/backend.h"
#include "core/philox.h"
#include "core/thread_pool.h"

namespace {

using namespace mlit;

constexpr int64_t kPeakSteps = 400'000;

#if defined(__x86_64__)
__attribute__((target("avx512f"))) float multiplyAdds512() {
  __m512 sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
  for (int64_t step = 0; step < kPeakSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sum[i] = _mm512_fmadd_ps(sum[i], x, y);
  }
  float out[16], total = 0;
  for (int i = 0; i < 12; ++i) {
    _mm512_storeu_ps(out, sum[i]);
    total += out[0];
  }
  return total;
}

__attribute__((target("avx2,fma"))) float multiplyAdds256() {
  __m256 sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
  for (int64_t step = 0; step < kPeakSteps; ++step) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) sum[i] = _mm256_fmadd_ps(sum[i], x, y);
  }
  float out[8], total = 0;
  for (int i = 0; i < 12; ++i) {
    _mm256_storeu_ps(out, sum[i]);
    total += out[0];
  }
  return total;
}
#endif

struct Seconds {
  double wall;
  double cpu;  // of all threads together
};

Seconds timed(const std::function<void()>& body) {
  const auto cpuNow = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  };
  const auto wall = std::chrono::steady_clock::now();
  const double cpu = cpuNow();
  body();
  const double wallTime = std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
  // The system books a thread's time when the thread leaves its processor: let the workers fall asleep first.
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return {wallTime, cpuNow() - cpu};
}

// Floating-point operations of one raw loop on every thread; 0 where there is no such loop for this processor.
double rawLoop(ThreadPool& pool, const std::string& isa) {
#if defined(__x86_64__)
  const bool wide = isa == "avx512";
  std::vector<float> sink(static_cast<size_t>(pool.threads()));
  pool.run(pool.threads(),
           [&](int64_t task, int) { sink[static_cast<size_t>(task)] = wide ? multiplyAdds512() : multiplyAdds256(); });
  return sink[0] == 12345.0f ? 0 : 2.0 * 12 * (wide ? 16 : 8) * static_cast<double>(kPeakSteps) * pool.threads();
#else
  (void)pool, (void)isa;
  return 0;
#endif
}

struct Array {
  Backend& backend;
  size_t bytes;
  DevicePtr<std::byte> memory;
  Array(Backend& b, int64_t count, uint64_t seed)
      : backend(b), bytes(static_cast<size_t>(count) * 4), memory(b.allocate(bytes)) {
    std::vector<float> values(static_cast<size_t>(std::min<int64_t>(count, 1 << 16)));
    for (size_t i = 0; i < values.size(); ++i) values[i] = unitFloat(philox(seed, 0, i)[0]) - 0.5f;
    for (size_t at = 0; at < bytes; at += values.size() * 4) {
      backend.upload(memory + static_cast<int64_t>(at), values.data(), std::min(bytes - at, values.size() * 4));
    }
    backend.synchronize();
  }
  ~Array() { backend.release(memory, bytes); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  DevF32 ptr() const { return memory.as<float>(); }
};

struct Case {
  const char* name;
  int64_t rows, out, in;
  int32_t rank;                   // 0: no adapter
  std::vector<int32_t> segments;  // widths of the adapted projections
  bool backward;
  int copies;  // distinct weights in turn, so that a decode step reads memory as it would
  WeightFormat format;
};

void runCase(Backend& backend, ThreadPool& pool, const std::string& isa, const Case& c, int repeats) {
  std::vector<WeightId> weights;
  std::vector<float> rows(static_cast<size_t>(64 * c.in));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = unitFloat(philox(1, 1, i)[0]) - 0.5f;
  for (int copy = 0; copy < c.copies; ++copy) {
    weights.push_back(backend.createWeight(c.out, c.in, c.format));
    for (int64_t row = 0; row < c.out; row += 64) {
      backend.setWeightRows(weights.back(), row, std::min<int64_t>(64, c.out - row), rows.data());
    }
  }
  const auto segments = static_cast<int32_t>(c.segments.size());
  const int32_t rankTotal = c.rank * segments;
  const Array x(backend, c.rows * c.in, 2), y(backend, c.rows * c.out, 3), dx(backend, c.rows * c.in, 4);
  const Array a(backend, std::max<int64_t>(1, rankTotal * c.in), 5),
      dA(backend, std::max<int64_t>(1, rankTotal * c.in), 6);
  const Array b(backend, std::max<int64_t>(1, c.rank * c.out), 7), dB(backend, std::max<int64_t>(1, c.rank * c.out), 8);
  const Array p(backend, std::max<int64_t>(1, c.rows * rankTotal), 9),
      u(backend, std::max<int64_t>(1, c.rows * rankTotal), 10);
  std::vector<LoraSegment> parts;
  int32_t begin = 0;
  for (int32_t s = 0; s < segments; ++s) {
    const int32_t width = c.segments[static_cast<size_t>(s)];
    parts.push_back({begin, begin + width, c.rank, s * c.rank, b.ptr() + begin * c.rank, dB.ptr() + begin * c.rank});
    begin += width;
  }
  std::vector<LoraGroup> groups;
  if (c.rank > 0) groups.push_back({0, static_cast<int32_t>(c.rows), 2.0f, rankTotal, a.ptr(), dA.ptr(), parts});

  const double dense = 2.0 * static_cast<double>(c.rows * c.out * c.in);
  const double skinny = 2.0 * static_cast<double>(c.rows) * c.rank * static_cast<double>(segments * c.in + begin);
  const double work = (dense + skinny * (c.backward ? 3 : 1)) * c.copies;
  const auto once = [&] {
    for (const WeightId weight : weights) {
      if (c.backward) {
        backend.linearBackward(weight, x.ptr(), c.in, c.rows, y.ptr(), c.out, dx.ptr(), c.in, false, groups, p.ptr(),
                               u.ptr());
      } else {
        backend.linearForward(weight, x.ptr(), c.in, c.rows, y.ptr(), c.out, groups, p.ptr());
      }
    }
    backend.synchronize();
  };
  once();
  std::vector<double> wallRatios, cpuRatios, walls, cpus;
  double peak = 0;
  for (int i = 0; i < repeats; ++i) {
    double rawWork = 0;
    const Seconds raw = timed([&] { rawWork = rawLoop(pool, isa); });
    const Seconds own = timed(once);
    peak = std::max(peak, rawWork / raw.wall);
    walls.push_back(own.wall);
    cpus.push_back(own.cpu);
    wallRatios.push_back(work / own.wall / (rawWork / raw.wall));
    cpuRatios.push_back(work / own.cpu / (rawWork / raw.cpu));
  }
  const auto median = [](std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
  };
  std::printf(
      "{\"case\":\"%s\",\"rows\":%lld,\"out\":%lld,\"in\":%lld,\"rank\":%d,\"threads\":%d,\"gflops_best\":%.1f,"
      "\"gflops_median\":%.1f,"
      "\"gflops_cpu\":%.1f,"
      "\"peak_gflops\":%.1f,\"of_peak_wall\":%.3f,\"of_peak_cpu\":%.3f,\"ms_best\":%.4f}\n",
      c.name, static_cast<long long>(c.rows), static_cast<long long>(c.out), static_cast<long long>(c.in), c.rank,
      pool.threads(), work / *std::min_element(walls.begin(), walls.end()) / 1e9, work / median(walls) / 1e9,
      work / median(cpus) * pool.threads() / 1e9, peak / 1e9, median(wallRatios), median(cpuRatios),
      *std::min_element(walls.begin(), walls.end()) * 1e3 / c.copies);
  std::fflush(stdout);
  for (const WeightId weight : weights) backend.destroyWeight(weight);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : usableProcessors();
  std::string isa = argc > 2 ? argv[2] : "auto";
  const int repeats = argc > 3 ? std::atoi(argv[3]) : 9;
  const std::string filter = argc > 4 ? argv[4] : "";
  const bool integers = argc > 5 && std::strcmp(argv[5], "int8") == 0;
  const auto backend = createCpuBackend(threads, isa, integers);
  isa = backend->description().substr(0, backend->description().find(','));
  ThreadPool pool(threads);

  constexpr auto kF32 = WeightFormat::kF32;
  // A big square product, which a whole step is compared with; then the stacked projections of Gemma 3 270M.
  const std::vector<Case> cases = {
      {"square", 2048, 2048, 2048, 0, {}, false, 1, kF32},
      {"qkv", 1024, 1536, 640, 0, {}, false, 1, kF32},
      {"o", 1024, 640, 1024, 0, {}, false, 1, kF32},
      {"gate_up", 1024, 4096, 640, 0, {}, false, 1, kF32},
      {"down", 1024, 640, 2048, 0, {}, false, 1, kF32},
      {"qkv_backward", 1024, 1536, 640, 0, {}, true, 1, kF32},
      {"o_backward", 1024, 640, 1024, 0, {}, true, 1, kF32},
      {"gate_up_backward", 1024, 4096, 640, 0, {}, true, 1, kF32},
      {"down_backward", 1024, 640, 2048, 0, {}, true, 1, kF32},
      {"qkv_lora", 1024, 1536, 640, 16, {1024, 256, 256}, false, 1, kF32},
      {"o_lora", 1024, 640, 1024, 16, {640}, false, 1, kF32},
      {"gate_up_lora", 1024, 4096, 640, 16, {2048, 2048}, false, 1, kF32},
      {"down_lora", 1024, 640, 2048, 16, {640}, false, 1, kF32},
      {"qkv_lora_backward", 1024, 1536, 640, 16, {1024, 256, 256}, true, 1, kF32},
      {"o_lora_backward", 1024, 640, 1024, 16, {640}, true, 1, kF32},
      {"gate_up_lora_backward", 1024, 4096, 640, 16, {2048, 2048}, true, 1, kF32},
      {"down_lora_backward", 1024, 640, 2048, 16, {640}, true, 1, kF32},
      {"gate_up_bf16", 1024, 4096, 640, 0, {}, false, 1, WeightFormat::kBF16},
      {"gate_up_int8", 1024, 4096, 640, 0, {}, false, 1, WeightFormat::kI8Channel},
      {"decode1_gate_up", 1, 4096, 640, 0, {}, false, 12, kF32},
      {"decode8_gate_up", 8, 4096, 640, 0, {}, false, 12, kF32},
      {"decode32_gate_up", 32, 4096, 640, 0, {}, false, 12, kF32},
      {"decode32_down", 32, 640, 2048, 0, {}, false, 12, kF32},
      {"decode8_gate_up_bf16", 8, 4096, 640, 0, {}, false, 12, WeightFormat::kBF16},
      {"decode32_gate_up_bf16", 32, 4096, 640, 0, {}, false, 12, WeightFormat::kBF16},
      {"decode8_gate_up_int8", 8, 4096, 640, 0, {}, false, 12, WeightFormat::kI8Channel},
      {"decode8_gate_up_lora", 8, 4096, 640, 16, {2048, 2048}, false, 12, kF32},
      {"head", 256, 262144, 640, 0, {}, false, 1, kF32},
      {"head_backward", 256, 262144, 640, 0, {}, true, 1, kF32},
      {"decode1_head", 1, 262144, 640, 0, {}, false, 1, kF32},
      {"decode32_head", 32, 262144, 640, 0, {}, false, 1, kF32},
  };
  for (Case c : cases) {
    if (integers) c.format = WeightFormat::kI8Channel;
    if (!filter.empty() && std::string(c.name).find(filter) == std::string::npos) continue;
    runCase(*backend, pool, isa, c, std::strstr(c.name, "head") != nullptr ? std::min(repeats, 3) : repeats);
  }
  return 0;
}
