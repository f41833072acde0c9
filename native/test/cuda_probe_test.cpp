// What the CUDA plug-in decides without a driver: which cards its code runs on, and which driver is needed.
#include <gtest/gtest.h>

#include "backend/cuda/probe.h"

namespace mlit::cuda {
namespace {

TEST(CudaProbe, ArchitecturesCoverTheCardsOfTheirMajorNumberFromTheirMinorOneOn) {
  EXPECT_TRUE(archsCover("80", 8, 0));
  EXPECT_TRUE(archsCover("80", 8, 9));
  EXPECT_FALSE(archsCover("86", 8, 0));
  EXPECT_FALSE(archsCover("80", 9, 0));
  EXPECT_TRUE(archsCover("80,86,100", 10, 3));
  EXPECT_FALSE(archsCover("", 9, 0));
}

TEST(CudaProbe, AnArchitectureWithAnAIsForItsOwnCardAlone) {
  EXPECT_TRUE(archsCover("80,90a", 9, 0));
  EXPECT_FALSE(archsCover("100a", 10, 3));
  EXPECT_FALSE(archsCover("90a", 10, 0));
}

TEST(CudaProbe, PtxCoversWhatIsToCome) {
  EXPECT_TRUE(archsCover("80,120+ptx", 12, 0));
  EXPECT_TRUE(archsCover("80,120+ptx", 13, 0));
  EXPECT_FALSE(archsCover("80,120+ptx", 11, 0));
}

TEST(CudaProbe, EachToolkitHasItsOldestDriver) {
  EXPECT_EQ(driverFloor(12).driver, 525);
  EXPECT_EQ(driverFloor(12).cuda, 12000);
  EXPECT_EQ(driverFloor(13).driver, 580);
  EXPECT_EQ(driverFloor(13).cuda, 13000);
}

TEST(CudaProbe, ReadsTheInstalledDriversVersion) {
  EXPECT_EQ(kernelDriver("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n"
                         "GCC version:  gcc version 12.2.0\n"),
            "535.104.05");
  EXPECT_EQ(kernelDriver("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"),
            "580.65.06");
  EXPECT_EQ(kernelDriver(""), "");
  EXPECT_EQ(kernelDriver("\nGCC version:  gcc version 12.2.0\n"), "");
}

}  // namespace
}  // namespace mlit::cuda
