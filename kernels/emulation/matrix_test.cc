// mma and ldmatrix against plain matrix products, with the fragment layouts written down once more, as the PTX manual
// has them (groupID = lane / 4, threadID_in_group = lane % 4).
#include "kernels/emulation/matrix.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/ptx.h"
#include "kernels/emulation/counters.h"
#include "kernels/emulation/options.h"

namespace eaq::kernels::emulation {
namespace {

enum class Type { kBf16, kF16, kS8, kS4 };

constexpr int Bits(Type type) { return type == Type::kS8 ? 8 : type == Type::kS4 ? 4 : 16; }

template <Type kType, typename T>
__global__ void OneMma(const uint32_t* a, const uint32_t* b, T* d) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t fa[4], fb[2];
  T fd[4];
  for (int i = 0; i < 4; ++i) fa[i] = a[lane * 4 + i];
  for (int i = 0; i < 2; ++i) fb[i] = b[lane * 2 + i];
  for (int i = 0; i < 4; ++i) fd[i] = d[lane * 4 + i];
  if constexpr (kType == Type::kBf16) cuda::ptx::MmaBf16(fd, fa, fb);
  if constexpr (kType == Type::kF16) cuda::ptx::MmaF16(fd, fa, fb);
  if constexpr (kType == Type::kS8) cuda::ptx::MmaS8(fd, fa, fb);
  if constexpr (kType == Type::kS4) cuda::ptx::MmaS4(fd, fa, fb);
  for (int i = 0; i < 4; ++i) d[lane * 4 + i] = fd[i];
}

double Element(Type type, const uint32_t* registers, int i) {
  const int bits = Bits(type), per = 32 / bits;
  const uint32_t field = registers[i / per] >> (bits * (i % per));
  switch (type) {
    case Type::kBf16:
      return cuda::ToFloat(cuda::Bf16{static_cast<uint16_t>(field)});
    case Type::kF16:
      return cuda::ToFloat(cuda::Half{static_cast<uint16_t>(field)});
    case Type::kS8:
      return static_cast<int8_t>(field);
    case Type::kS4:
      return static_cast<int>((field & 15) ^ 8) - 8;
  }
  return 0;
}

// The manual's tables: element i of a lane's A and B fragments.
void PlaceA(Type type, int lane, int i, int& row, int& column) {
  const int group = lane >> 2, in_group = lane % 4;
  switch (type) {
    case Type::kBf16:
    case Type::kF16:
      row = (i < 2) || (i >= 4 && i < 6) ? group : group + 8;
      column = i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
      return;
    case Type::kS8:
      row = i < 4 || (i >= 8 && i < 12) ? group : group + 8;
      column = i < 8 ? in_group * 4 + (i & 3) : in_group * 4 + (i & 3) + 16;
      return;
    case Type::kS4:
      row = i < 8 || (i >= 16 && i < 24) ? group : group + 8;
      column = i < 16 ? in_group * 8 + (i & 7) : in_group * 8 + (i & 7) + 32;
      return;
  }
}
void PlaceB(Type type, int lane, int i, int& row, int& column) {
  const int in_group = lane % 4;
  column = lane >> 2;
  switch (type) {
    case Type::kBf16:
    case Type::kF16:
      row = i < 2 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
      return;
    case Type::kS8:
      row = i < 4 ? in_group * 4 + (i & 3) : in_group * 4 + (i & 3) + 16;
      return;
    case Type::kS4:
      row = i < 8 ? in_group * 8 + (i & 7) : in_group * 8 + (i & 7) + 32;
      return;
  }
}

template <Type kType, typename T, typename RandomRegister, typename RandomSum>
void CheckMma(RandomRegister random_register, RandomSum random_sum) {
  constexpr int kK = 256 / Bits(kType), kInA = 4 * 32 / Bits(kType), kInB = 2 * 32 / Bits(kType);
  for (int round = 0; round < 100; ++round) {
    std::vector<uint32_t> a(128), b(64);
    std::vector<T> d(128);
    for (uint32_t& r : a) r = random_register();
    for (uint32_t& r : b) r = random_register();
    for (T& x : d) x = random_sum();
    std::vector<double> matrix_a(16 * kK), matrix_b(kK * 8);
    for (int lane = 0; lane < 32; ++lane) {
      int row = 0, column = 0;
      for (int i = 0; i < kInA; ++i) {
        PlaceA(kType, lane, i, row, column);
        matrix_a[row * kK + column] = Element(kType, &a[lane * 4], i);
      }
      for (int i = 0; i < kInB; ++i) {
        PlaceB(kType, lane, i, row, column);
        matrix_b[row * 8 + column] = Element(kType, &b[lane * 2], i);
      }
    }
    std::vector<T> want(128);
    for (int lane = 0; lane < 32; ++lane) {
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + (i < 2 ? 0 : 8), column = lane % 4 * 2 + (i & 1);
        double sum = static_cast<double>(d[lane * 4 + i]);
        for (int k = 0; k < kK; ++k) sum += matrix_a[row * kK + k] * matrix_b[k * 8 + column];
        want[lane * 4 + i] = static_cast<T>(sum);
      }
    }
    EAQ_LAUNCH((OneMma<kType, T>), 1, 32, 0, nullptr, a.data(), b.data(), d.data());
    ASSERT_EQ(d, want);  // to the bit: matrix.h defines the order of the sum
  }
}

TEST(MatrixTest, MmaIsAMatrixProduct) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  ResetCounters();
  CheckMma<Type::kBf16, float>([&] { return cuda::PackBf16(normal(generator), normal(generator)); },
                               [&] { return normal(generator); });
  CheckMma<Type::kF16, float>([&] { return cuda::PackHalf(normal(generator), normal(generator)); },
                              [&] { return normal(generator); });
  auto small = [&] { return static_cast<int32_t>(generator() % 2000) - 1000; };
  CheckMma<Type::kS8, int32_t>([&] { return static_cast<uint32_t>(generator()); }, small);
  CheckMma<Type::kS4, int32_t>([&] { return static_cast<uint32_t>(generator()); }, small);
  const Counters counters = ReadCounters();
  EXPECT_EQ(counters.mma_bf16, 100u);
  EXPECT_EQ(counters.mma_f16, 100u);
  EXPECT_EQ(counters.mma_s8, 100u);
  EXPECT_EQ(counters.mma_s4, 100u);
}

TEST(MatrixTest, IntegerSumsWrap) {
  std::vector<uint32_t> a(128, 0x01010101u), b(64, 0x01010101u);
  std::vector<int32_t> d(128, std::numeric_limits<int32_t>::max());
  EAQ_LAUNCH((OneMma<Type::kS8, int32_t>), 1, 32, 0, nullptr, a.data(), b.data(), d.data());
  for (const int32_t x : d) EXPECT_EQ(x, std::numeric_limits<int32_t>::min() + 31);
}

// s4 by two s8: the identity on which kernels for sm_90 rely (specs/kernels.md 1.4).
__global__ void S4ByS8(const uint32_t* a, const uint32_t* b, int32_t* d) {
  const int lane = static_cast<int>(threadIdx.x);
  int32_t sum[4] = {};
  for (const int shift : {4, 0}) {
    uint32_t fa[4], fb[2];
    for (int i = 0; i < 4; ++i) fa[i] = a[lane * 4 + i] << shift & 0xf0f0f0f0u;
    for (int i = 0; i < 2; ++i) fb[i] = b[lane * 2 + i] << shift & 0xf0f0f0f0u;
    cuda::ptx::MmaS8(sum, fa, fb);
  }
  for (int i = 0; i < 4; ++i) d[lane * 4 + i] = sum[i] >> 8;
}

TEST(MatrixTest, FourBitsByTwoProductsOfEight) {
  std::mt19937 generator(2);
  for (int round = 0; round < 50; ++round) {
    std::vector<uint32_t> a(128), b(64);
    for (uint32_t& r : a) r = static_cast<uint32_t>(generator());
    for (uint32_t& r : b) r = static_cast<uint32_t>(generator());
    std::vector<int32_t> native(128), by_eight(128);
    EAQ_LAUNCH((OneMma<Type::kS4, int32_t>), 1, 32, 0, nullptr, a.data(), b.data(), native.data());
    EAQ_LAUNCH(S4ByS8, 1, 32, 0, nullptr, a.data(), b.data(), by_eight.data());
    ASSERT_EQ(native, by_eight);
  }
}

// Matrix m of 8 x 8 elements, 1000 m + 10 row + column, loaded by every form.
__global__ void LoadAllForms(uint32_t* out) {
  EAQ_SHARED(uint16_t, matrices, 4 * 64);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) matrices[i] = static_cast<uint16_t>(1000 * (i / 64) + 10 * (i / 8 % 8) + i % 8);
  __syncwarp();
  uint32_t four[4], transposed[4], two[2], two_transposed[2];
  cuda::ptx::LoadMatrix4(four, &matrices[lane * 8]);
  cuda::ptx::LoadMatrix4Transposed(transposed, &matrices[lane * 8]);
  const uint16_t* row = lane < 16 ? &matrices[lane * 8] : nullptr;  // nobody looks at the others' addresses
  cuda::ptx::LoadMatrix2(two, row);
  cuda::ptx::LoadMatrix2Transposed(two_transposed, row);
  for (int i = 0; i < 4; ++i) {
    out[lane * 12 + i] = four[i];
    out[lane * 12 + 4 + i] = transposed[i];
  }
  for (int i = 0; i < 2; ++i) {
    out[lane * 12 + 8 + i] = two[i];
    out[lane * 12 + 10 + i] = two_transposed[i];
  }
}

TEST(MatrixTest, LoadMatrix) {
  std::vector<uint32_t> out(32 * 12);
  ResetCounters();
  EAQ_LAUNCH(LoadAllForms, 1, 32, 0, nullptr, out.data());
  for (int lane = 0; lane < 32; ++lane) {
    const uint32_t row = lane / 4, column = lane % 4 * 2;
    for (uint32_t m = 0; m < 4; ++m) {
      const uint32_t first = 1000 * m + 10 * row + column, below = 1000 * m + 10 * column + row;
      EXPECT_EQ(out[lane * 12 + m], first | (first + 1) << 16);
      EXPECT_EQ(out[lane * 12 + 4 + m], below | (below + 10) << 16);
      if (m >= 2) continue;
      EXPECT_EQ(out[lane * 12 + 8 + m], first | (first + 1) << 16);
      EXPECT_EQ(out[lane * 12 + 10 + m], below | (below + 10) << 16);
    }
  }
  EXPECT_EQ(ReadCounters().ldmatrix, 4u);
  EXPECT_EQ(ReadCounters().ldmatrix_wavefronts, 4u + 4 + 2 + 2);
  EXPECT_EQ(ReadCounters().BankConflicts(), 0u);
}

__global__ void MmaWithoutAllLanes() {
  if (threadIdx.x == 31) return;
  uint32_t a[4] = {}, b[2] = {};
  int32_t d[4] = {};
  cuda::ptx::MmaS8(d, a, b);
}
__global__ void LoadMatrixMisaligned() {
  EAQ_SHARED(char, bytes, 1024);
  uint32_t r[4];
  cuda::ptx::LoadMatrix4(r, bytes + 16 * threadIdx.x + 8);
}
__global__ void LoadMatrixFromGlobal(const char* x) {
  uint32_t r[4];
  cuda::ptx::LoadMatrix4(r, x);
}

TEST(MatrixDeathTest, Misuse) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  alignas(16) const char x[16] = {};
  EXPECT_DEATH(EAQ_LAUNCH(MmaWithoutAllLanes, 1, 32, 0, nullptr), "needs all 32 lanes");
  EXPECT_DEATH(EAQ_LAUNCH(MmaWithoutAllLanes, 1, 16, 0, nullptr), "needs all 32 lanes");
  EXPECT_DEATH(EAQ_LAUNCH(LoadMatrixMisaligned, 1, 32, 0, nullptr), "no multiple of 16");
  EXPECT_DEATH(EAQ_LAUNCH(LoadMatrixFromGlobal, 1, 32, 0, nullptr, x), "outside shared memory");
}

TEST(WavefrontsTest, FollowsTheBankModel) {
  uintptr_t addresses[32];
  auto with = [&](auto f, int bytes) {
    for (int lane = 0; lane < 32; ++lane) addresses[lane] = 4096 + f(lane);
    return Wavefronts(addresses, 0xffffffffu, bytes);
  };
  EXPECT_EQ(with([](int lane) { return 4 * lane; }, 4), 1);
  EXPECT_EQ(with([](int) { return 8; }, 4), 1);  // all read one word
  EXPECT_EQ(with([](int lane) { return 8 * lane; }, 4), 2);
  EXPECT_EQ(with([](int lane) { return 128 * lane; }, 4), 32);
  EXPECT_EQ(with([](int lane) { return 8 * lane; }, 8), 2);
  EXPECT_EQ(with([](int lane) { return 16 * lane; }, 16), 4);
  EXPECT_EQ(with([](int lane) { return 128 * lane; }, 16), 32);
  EXPECT_EQ(with([](int lane) { return 144 * lane; }, 16), 4);  // rows padded by 16 bytes
}

}  // namespace
}  // namespace eaq::kernels::emulation
