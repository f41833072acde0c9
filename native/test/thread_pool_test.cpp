// The pool's promises: every task exactly once, results published to the caller, errors brought back, an end that
// does not wait, and a thread count that respects control groups.
#include "core/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/error.h"

namespace mlit {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const int threads : {1, 2, 3, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int64_t tasks : {0, 1, 2, 3, 17, 1000}) {
      std::vector<int> counts(static_cast<size_t>(tasks), 0);
      std::atomic<bool> threadsInRange{true};
      pool.run(tasks, [&](int64_t task, int thread) {
        counts[static_cast<size_t>(task)] += 1;  // plain memory: run() must publish it
        if (thread < 0 || thread >= threads) threadsInRange = false;
      });
      for (const int count : counts) EXPECT_EQ(count, 1);
      EXPECT_TRUE(threadsInRange);
    }
  }
}

TEST(ThreadPool, ShortRunsInALongRow) {
  ThreadPool pool(3);
  int64_t expected = 0;
  std::atomic<int64_t> sum{0};
  for (int64_t run = 0; run < 20000; ++run) {
    const int64_t tasks = run % 7;
    pool.run(tasks, [&](int64_t task, int) { sum.fetch_add(task + run, std::memory_order_relaxed); });
    for (int64_t task = 0; task < tasks; ++task) expected += task + run;
  }
  EXPECT_EQ(sum.load(), expected);
}

TEST(ThreadPool, WakesSleepers) {
  ThreadPool pool(2);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than the workers spin
    std::atomic<int> arrived{0};
    // Neither task can end without the other: both threads must be there.
    pool.run(2, [&](int64_t, int) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
    EXPECT_EQ(arrived.load(), 2);
  }
}

TEST(ThreadPool, WaitsForSlowTasks) {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  pool.run(2, [&](int64_t task, int) {
    if (task == 1) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    done.fetch_add(1);
  });
  EXPECT_EQ(done.load(), 2);
}

TEST(ThreadPool, BringsBackAnErrorAndGoesOn) {
  ThreadPool pool(2);
  std::atomic<int> ran{0};
  EXPECT_THROW(pool.run(10,
                        [&](int64_t task, int) {
                          ran.fetch_add(1);
                          if (task == 3) throw std::runtime_error("third");
                        }),
               std::runtime_error);
  EXPECT_EQ(ran.load(), 10);
  int64_t total = 0;
  pool.run(1, [&](int64_t, int) { total = 5; });
  EXPECT_EQ(total, 5);
}

TEST(ThreadPool, RefusesNoThreads) { EXPECT_THROW(ThreadPool pool(0), Error); }

TEST(ThreadPool, EndsWithoutDelay) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 50; ++i) {
    ThreadPool pool(4);
    pool.run(4, [](int64_t, int) {});
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

class CgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) /
            ("mlit_cgroup_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  int processors(const std::string& membership) {
    write("membership", membership);
    return cgroupProcessors((root_ / "membership").string(), root_.string());
  }

  std::filesystem::path root_;
};

TEST_F(CgroupTest, VersionTwo) {
  EXPECT_EQ(processors("0::/a/b\n"), 0);
  write("a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(processors("0::/a/b\n"), 0);
  write("a/cpu.max", "250000 100000\n");
  EXPECT_EQ(processors("0::/a/b\n"), 3);
  write("a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(processors("0::/a/b\n"), 1);
}

TEST_F(CgroupTest, VersionOne) {
  write("cpu/job/cpu.cfs_quota_us", "400000\n");
  write("cpu/job/cpu.cfs_period_us", "100000\n");
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(processors("4:cpu,cpuacct:/job/inner\n2:memory:/job\n0::/\n"), 4);
  EXPECT_EQ(processors("4:cpuset:/job\n"), 0);
}

TEST(UsableProcessors, IsAtLeastOneAndAtMostTheMachine) {
  EXPECT_GE(usableProcessors(), 1);
  EXPECT_LE(usableProcessors(), static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace mlit
