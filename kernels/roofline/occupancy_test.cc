// OccupancyOf against CUDA's own calculator where there is a toolkit, and by hand.
#include "kernels/roofline/occupancy.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "gtest/gtest.h"
#include "kernels/roofline/chip.h"

#if __has_include(<cuda_occupancy.h>)
#include <cuda_occupancy.h>
#define HAVE_TOOLKIT 1
#endif

namespace eaq::kernels::roofline {
namespace {

Occupancy Of(int architecture, int threads, int registers, int64_t shared_bytes) {
  return OccupancyOf({threads, registers, shared_bytes}, *FindArchitecture(architecture));
}

// ../shared/specs/kernels.md, section 3: 96 registers, 128 threads, 24 KiB.
TEST(OccupancyTest, ByHand) {
  for (const int architecture : {80, 90, 100}) {
    EXPECT_EQ(Of(architecture, 128, 96, 24 << 10).blocks, 5) << architecture;  // 20 warps of 3072 registers
    EXPECT_EQ(Of(architecture, 128, 96, 24 << 10).warps, 20) << architecture;
    EXPECT_STREQ(Of(architecture, 128, 96, 24 << 10).limit, "registers") << architecture;
  }
  for (const int architecture : {86, 89, 120}) {
    EXPECT_EQ(Of(architecture, 128, 96, 24 << 10).blocks, 4) << architecture;  // 4 x 25 KiB of 100
    EXPECT_STREQ(Of(architecture, 128, 96, 24 << 10).limit, "shared") << architecture;
  }
  EXPECT_STREQ(Of(86, 256, 32, 0).limit, "threads");
  EXPECT_EQ(Of(86, 256, 32, 0).blocks, 6);
  EXPECT_STREQ(Of(89, 32, 32, 0).limit, "blocks");
  EXPECT_EQ(Of(89, 32, 32, 0).blocks, 24);
  // What the device refuses.
  EXPECT_EQ(Of(90, 1025, 32, 0).blocks, 0);
  EXPECT_EQ(Of(90, 0, 32, 0).blocks, 0);
  EXPECT_EQ(Of(90, 1024, 65, 0).blocks, 0);
  EXPECT_EQ(Of(90, 1024, 64, 0).blocks, 1);
  EXPECT_EQ(Of(80, 128, 32, 163 << 10).blocks, 1);
  EXPECT_EQ(Of(80, 128, 32, (163 << 10) + 1).blocks, 0);
}

TEST(OccupancyTest, EveryChipsArchitectureIsKnown) {
  for (const Chip& chip : Chips()) EXPECT_NE(FindArchitecture(chip.architecture), nullptr) << chip.name;
  EXPECT_EQ(FindArchitecture(70), nullptr);
}

#if HAVE_TOOLKIT
TEST(OccupancyTest, IsThatOfCudasCalculator) {
  int64_t compared = 0;
  for (const Architecture& a : kArchitectures) {
    cudaOccDeviceProp device;
    device.computeMajor = a.number / 10, device.computeMinor = a.number % 10;
    device.maxThreadsPerBlock = Architecture::kBlockThreads, device.maxThreadsPerMultiprocessor = a.threads;
    device.regsPerBlock = device.regsPerMultiprocessor = Architecture::kRegisters;
    device.warpSize = 32;
    device.sharedMemPerBlock = 48 << 10, device.sharedMemPerBlockOptin = a.BlockBytes();
    device.sharedMemPerMultiprocessor = a.shared_bytes, device.reservedSharedMemPerBlock = Architecture::kReservedBytes;
    device.numSms = 1;
    const cudaOccDeviceState state;
    for (int threads = 1; threads <= 1056; threads += threads % 32 == 0 ? 1 : 31) {
      for (int registers = 16; registers <= 255; ++registers) {
        for (int64_t bytes = 0; bytes <= a.BlockBytes() + 200; bytes += bytes < 4096 ? 1013 : 7777) {
          cudaOccFuncAttributes function;
          function.maxThreadsPerBlock = INT_MAX, function.numRegs = registers, function.numBlockBarriers = 1;
          function.sharedSizeBytes = std::min<int64_t>(bytes, 500);
          function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
          const auto dynamic = function.maxDynamicSharedSizeBytes = bytes - function.sharedSizeBytes;
          cudaOccResult want = {};
          ASSERT_EQ(cudaOccMaxActiveBlocksPerMultiprocessor(&want, &device, &function, &state, threads, dynamic),
                    CUDA_OCC_SUCCESS);
          const Occupancy got = Of(a.number, threads, registers, bytes);
          const std::string limit = got.limit;
          const unsigned bit = limit == "threads"     ? OCC_LIMIT_WARPS
                               : limit == "blocks"    ? OCC_LIMIT_BLOCKS
                               : limit == "registers" ? OCC_LIMIT_REGISTERS
                                                      : OCC_LIMIT_SHARED_MEMORY;
          ASSERT_TRUE(got.blocks == want.activeBlocksPerMultiprocessor && (want.limitingFactors & bit) != 0)
              << "sm_" << a.number << ", " << threads << " threads, " << registers << " registers, " << bytes
              << " bytes: " << got.blocks << " by " << got.limit << ", CUDA's calculator says "
              << want.activeBlocksPerMultiprocessor;
          ++compared;
        }
      }
    }
  }
  EXPECT_GT(compared, 100000);
}
#else
TEST(OccupancyTest, IsThatOfCudasCalculator) { GTEST_SKIP() << "no CUDA toolkit: no cuda_occupancy.h"; }
#endif

}  // namespace
}  // namespace eaq::kernels::roofline
