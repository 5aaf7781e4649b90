// The device that this program is linked with (emulated; under --config=gpu a GPU), its memory, and the ops that all
// backends have in common against the reference's.
#include "kernels/device/device.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/weight_quant.h"
#include "kernels/device/arena.h"
#include "kernels/device/open.h"

namespace eaq::kernels {
namespace {

#define ASSERT_FINE(expression)                \
  do {                                         \
    const BackendStatus status = (expression); \
    ASSERT_TRUE(status.ok()) << status.text(); \
  } while (false)

std::vector<float> Numbers(int64_t count, double phase) {
  std::vector<float> x(count);
  for (int64_t i = 0; i < count; ++i) x[i] = static_cast<float>(std::sin(phase + 1.7 * i) + 0.3 * std::cos(phase * i));
  return x;
}

// Inputs and results of ops in a backend's own memory.
class Memory {
 public:
  explicit Memory(Backend& backend) : device_(backend.device()) {
    if (device_ != nullptr) {
      EXPECT_TRUE(arena_.Create(device_, "test", int64_t{4} << 20, true).ok());
    }
  }
  template <typename T>
  T* In(const std::vector<T>& values) {
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(T));
    T* const at = Room<T>(values.size());
    if (device_ != nullptr) {
      EXPECT_TRUE(device_->CopyIn(at, values.data(), bytes).ok());
    } else {
      std::memcpy(at, values.data(), static_cast<size_t>(bytes));
    }
    return at;
  }
  template <typename T>
  T* Room(size_t count) {
    if (device_ != nullptr) return arena_.Take<T>("array", static_cast<int64_t>(count));
    host_.push_back(std::vector<double>(count * sizeof(T) / 8 + 1));
    return reinterpret_cast<T*>(host_.back().data());
  }
  template <typename T>
  std::vector<T> Out(const T* at, size_t count) {
    std::vector<T> values(count);
    if (device_ == nullptr) return std::vector<T>(at, at + count);
    EXPECT_TRUE(device_->CopyOut(values.data(), at, static_cast<int64_t>(count * sizeof(T))).ok());
    const BackendStatus zones = arena_.Check();
    EXPECT_TRUE(zones.ok()) << zones.text();
    return values;
  }

 private:
  Device* device_;
  Arena arena_;
  std::vector<std::vector<double>> host_;
};

constexpr int64_t kRows = 5, kWidth = 96, kHeads = 4, kKvHeads = 2, kHeadDim = 32, kVocabulary = 70;

// Every common op once; all results in one list.
std::vector<double> RunAll(Backend& backend) {
  std::vector<double> results;
  Memory m(backend);
  const auto check = [](const BackendStatus& status) { EXPECT_TRUE(status.ok()) << status.text(); };
  const auto keep = [&](const float* at, size_t count) {
    for (const float v : m.Out(at, count)) results.push_back(v);
  };
  float* const x = m.In(Numbers(kRows * kWidth, 0.1));
  const float* const weight = m.In(Numbers(kWidth, 0.7));
  float* const y = m.Room<float>(kRows * kWidth);
  check(backend.RmsNorm(x, kWidth, weight, 1e-5, y, kWidth, kRows, kWidth));
  keep(y, kRows * kWidth);
  check(backend.AddRmsNorm(x, kWidth, m.In(Numbers(kRows * kWidth, 0.3)), kWidth, weight, 1e-5, y, kWidth, kRows,
                           kWidth));
  keep(x, kRows * kWidth);
  keep(y, kRows * kWidth);
  check(backend.SiluMul(x, kWidth, y, kWidth, y, kWidth, kRows, kWidth));
  keep(y, kRows * kWidth);
  float* const linear = m.Room<float>(kRows * 33);
  check(backend.Linear(x, kWidth, m.In(Numbers(33 * kWidth, 0.9)), linear, kRows, 33, kWidth));
  keep(linear, kRows * 33);
  float* const embedded = m.Room<float>(3 * kWidth);
  const float* const table = m.In(Numbers(kVocabulary * kWidth, 1.1));
  check(backend.Embed(table, kVocabulary, m.In(std::vector<int32_t>{69, 0, 7}), embedded, 3, kWidth));
  keep(embedded, 3 * kWidth);

  // Two sequences of 2 and 3 rows.
  const int64_t width = kHeads * kHeadDim, kv_width = kKvHeads * kHeadDim;
  float* const q = m.In(Numbers(kRows * width, 2.0));
  const float* const k = m.In(Numbers(kRows * kv_width, 2.5));
  const float* const v = m.In(Numbers(kRows * kv_width, 2.9));
  check(backend.RotaryHalfSplit(q, width, m.In(Numbers(kRows * kHeadDim / 2, 3.0)),
                                m.In(Numbers(kRows * kHeadDim / 2, 3.3)), kRows, kHeads, kHeadDim));
  keep(q, kRows * width);
  cuda::AttentionBatch batch;
  batch.sequences = 2;
  batch.query_begin = m.In(std::vector<int32_t>{0, 2, 5});
  batch.key_begin = m.In(std::vector<int32_t>{0, 2});
  batch.key_count = m.In(std::vector<int32_t>{2, 3});
  batch.max_queries = batch.max_keys = 3;
  batch.heads = kHeads;
  batch.kv_heads = kKvHeads;
  batch.head_dim = kHeadDim;
  batch.window = 2;
  batch.scale = 0.4f;
  float* const context = m.Room<float>(kRows * width);
  check(backend.Attention(batch, q, width, k, kv_width, v, kv_width, context, width));
  keep(context, kRows * width);

  const float* const logits = m.In(Numbers(2 * kVocabulary, 4.0));
  const float* const others = m.In(Numbers(2 * kVocabulary, 4.1));
  double* const log_p = m.Room<double>(2);
  double* const sums = m.Room<double>(2);
  check(backend.TargetLogProbabilities(logits, kVocabulary, m.In(std::vector<int32_t>{3, 69}), log_p, sums, 2,
                                       kVocabulary));
  for (const double p : m.Out(log_p, 2)) results.push_back(p);
  for (const double s : m.Out(sums, 2)) results.push_back(s);
  Divergence* const divergence = m.Room<Divergence>(2);
  check(backend.DivergeRows(logits, kVocabulary, others, kVocabulary, divergence, 2, kVocabulary));
  for (const Divergence& d : m.Out(divergence, 2)) {
    for (const double value : {d.log_sum_p, d.log_sum_q, d.kl, d.agree ? 1.0 : 0.0}) results.push_back(value);
  }
  int32_t* const common = m.Room<int32_t>(2);
  check(backend.TopKAgreement(logits, kVocabulary, others, kVocabulary, 5, common, 2, kVocabulary));
  for (const int32_t count : m.Out(common, 2)) results.push_back(count);
  return results;
}

TEST(BackendTest, AllMachinesAgreeWithTheReference) {
  std::unique_ptr<Backend> reference;
  ASSERT_FINE(OpenBackend(BackendKind::kReference, &reference));
  const std::vector<double> want = RunAll(*reference);
  for (const BackendKind kind : {BackendKind::kCpu, LinkedDevice()}) {
    std::unique_ptr<Backend> backend;
    ASSERT_FINE(OpenBackend(kind, &backend));
    EXPECT_EQ(backend->kind(), kind);
    const std::vector<double> got = RunAll(*backend);
    ASSERT_EQ(got.size(), want.size());
    // At most 96 products of magnitude below 2 in float32, in any order: (96 + 8) 2^-24 of a sum of magnitudes below
    // 192.
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(got[i], want[i], 104 * 0x1p-24 * 192) << Name(kind) << ", result " << i;
    }
  }
}

// Both dense products by cuBLAS, one after the other's kernels, against sums in double.
TEST(BackendTest, DenseProductsAreTheDefinition) {
  std::unique_ptr<Backend> backend;
  ASSERT_FINE(OpenBackend(LinkedDevice(), &backend));
  Memory m(*backend);
  const int64_t n = 7, in = 96, out = cuda::kMaxExperts + 3, ld = 104;
  const std::vector<float> x = Numbers(n * ld, 0.2), w = Numbers(out * in, 0.8);
  float* const y = m.Room<float>(n * out);
  ASSERT_FINE(backend->Linear(m.In(x), ld, m.In(w), y, n, out, in));
  const auto bf16 = [](const std::vector<float>& values) {
    std::vector<uint16_t> bits;
    for (const float value : values) bits.push_back(cuda::ToBf16(value).bits);
    return bits;
  };
  const std::vector<uint16_t> x16 = bf16(x), w16 = bf16(Numbers(out * ld, 1.8));
  const uint16_t *const x_there = m.In(x16), *const w_there = m.In(w16);
  float* const sums = m.Room<float>(n * out);
  ASSERT_FINE(backend->LinearBf16(x_there, ld, w_there, ld, false, sums, out, n, out, in));
  ASSERT_FINE(backend->LinearBf16(x_there, ld, w_there, ld, true, sums, out, n, out, in));  // twice
  const std::vector<float> got = m.Out(y, n * out), got16 = m.Out(sums, n * out);
  const double bound = 104 * 0x1p-24 * 192;  // as above
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double want = 0, want16 = 0;
      for (int64_t i = 0; i < in; ++i) {
        want += static_cast<double>(x[r * ld + i]) * w[o * in + i];
        want16 += 2.0 * ToFloat(cuda::Bf16{x16[r * ld + i]}) * ToFloat(cuda::Bf16{w16[o * ld + i]});
      }
      ASSERT_NEAR(got[r * out + o], want, bound) << r << ", " << o;
      ASSERT_NEAR(got16[r * out + o], want16, 2 * bound) << r << ", " << o;
    }
  }
  const BackendStatus status = backend->LinearBf16(x_there, ld - 20, w_there, ld, false, sums, out, n, out, in);
  EXPECT_NE(status.text().find("dense product of bfloat16 [7, 96] by [515, 96]: cuBLAS says"), std::string::npos)
      << status.text();
}

TEST(BackendTest, WhatIsNotThereSaysWhy) {
  const BackendKind other = LinkedDevice() == BackendKind::kCuda ? BackendKind::kEmulation : BackendKind::kCuda;
  std::unique_ptr<Backend> backend;
  const BackendStatus status = OpenBackend(other, &backend);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(backend, nullptr);
  EXPECT_NE(status.text().find("--config=gpu"), std::string::npos) << status.text();
  BackendKind kind;
  EXPECT_TRUE(ParseBackend("emulation", &kind));
  EXPECT_EQ(kind, BackendKind::kEmulation);
  EXPECT_FALSE(ParseBackend("gpu", &kind));

  std::unique_ptr<Backend> cpu;
  ASSERT_FINE(OpenBackend(BackendKind::kCpu, &cpu));
  EXPECT_NE(cpu->GatherRowsBf16(cuda::RowSource(), 1, nullptr).text().find("no op of the backend \"cpu\""),
            std::string::npos);
  EXPECT_NE(cpu->FindWeightGrids(nullptr, 1, 1, 1, 1, cuda::WeightGridKind::kAsymmetric, 4, {}, nullptr)
                .text()
                .find("FindWeightGrids is no op of the backend \"cpu\""),
            std::string::npos);
  EXPECT_NE(cpu->QuantizeWeights(nullptr, 1, 1, 1, 1, 4, nullptr, nullptr, nullptr, 1).text().find("QuantizeWeights"),
            std::string::npos);
}

// Two rows of five weights in groups of 3: grids and codes by the formulas of eaq/quant/grid.h.
TEST(BackendTest, WeightsGetGridsAndCodes) {
  std::unique_ptr<Backend> backend;
  ASSERT_FINE(OpenBackend(LinkedDevice(), &backend));
  Memory m(*backend);
  const std::vector<float> w = {-0.5f, 0.25f, 1, 0, 3, 2, 2, -1, -3, 0};
  const float* const on_device = m.In(w);
  auto* const grids = m.Room<cuda::WeightGrid>(4);
  auto* const codes = m.Room<uint8_t>(10);
  float* const rounded = m.Room<float>(10);
  constexpr int kBits = 4, kMaxCode = 15;
  ASSERT_FINE(backend->FindWeightGrids(on_device, 5, 2, 5, 3, cuda::WeightGridKind::kAsymmetric, kBits, {}, grids));
  ASSERT_FINE(backend->QuantizeWeights(on_device, 5, 2, 5, 3, kBits, grids, codes, rounded, 5));
  const std::vector<cuda::WeightGrid> found = m.Out(grids, 4);
  const std::vector<uint8_t> u = m.Out(codes, 10);
  const std::vector<float> back = m.Out(rounded, 10);
  const float ranges[4] = {1.5f, 3, 3, 3};
  for (int g = 0; g < 4; ++g) EXPECT_NEAR(found[g].scale, ranges[g] / kMaxCode, ranges[g] / kMaxCode * 0x1p-11) << g;
  EXPECT_EQ(found[0].zero, 5);
  EXPECT_EQ(found[1].zero, 0);
  for (int i = 0; i < 10; ++i) {
    const cuda::WeightGrid& g = found[i / 5 * 2 + (i % 5) / 3];
    EXPECT_EQ(u[i], std::min(std::max(std::nearbyint(w[i] / g.scale) + g.zero, 0.0f), float{kMaxCode})) << i;
    EXPECT_EQ(back[i], g.scale * static_cast<float>(u[i] - g.zero)) << i;
  }
  const BackendStatus refused =
      backend->FindWeightGrids(on_device, 5, 2, 5, 3, cuda::WeightGridKind::kAsymmetric, 9, {}, grids);
  EXPECT_NE(refused.text().find("FindWeightGrids of [2, 5] in groups of 3, 9 bits"), std::string::npos)
      << refused.text();
}

TEST(BackendTest, AnErrorNamesTheKernelAndItsShape) {
  std::unique_ptr<Backend> backend;
  ASSERT_FINE(OpenBackend(LinkedDevice(), &backend));
  cuda::RouteOptions options;
  options.k = 9;
  const BackendStatus status = backend->RouteTopK(nullptr, 3, 8, options, nullptr, nullptr);
  EXPECT_NE(status.text().find("RouteTopK of 3 tokens, 9 of 8 experts"), std::string::npos) << status.text();
  EXPECT_NE(status.text().find(backend->device()->properties().name), std::string::npos) << status.text();
}

TEST(ArenaTest, RoomRedZonesAndPoison) {
  std::unique_ptr<Device> device;
  ASSERT_FINE(OpenDevice(&device));
  Arena arena;
  ASSERT_FINE(arena.Create(device.get(), "small", 4096, true));
  float* const a = arena.Take<float>("a", 10);
  float* const b = arena.Take<float>("b", 100);
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b) % Arena::kAlignment, 0u);
  float first = 0;
  ASSERT_FINE(device->CopyOut(&first, b, sizeof first));
  EXPECT_TRUE(std::isnan(first));
  ASSERT_FINE(arena.Check());
  ASSERT_FINE(arena.Reset());
  EXPECT_EQ(arena.Take<float>("too much", 1024), nullptr);
  EXPECT_NE(arena.status().text().find("too much"), std::string::npos);
  EXPECT_FALSE(arena.Reset().ok());
  ASSERT_FINE(arena.status());

#if !defined(__SANITIZE_ADDRESS__)  // which ends the program at once
  float* const c = arena.Take<float>("c", 3);
  const float beyond = 1;
  ASSERT_FINE(device->CopyIn(c + 4, &beyond, sizeof beyond));
  const BackendStatus broken = arena.Reset();
  EXPECT_NE(broken.text().find("c (12 bytes) written 5 bytes beyond its end"), std::string::npos) << broken.text();
  float* const d = arena.Take<float>("d", 3);
  ASSERT_FINE(device->CopyIn(d - 1, &beyond, sizeof beyond));
  EXPECT_NE(arena.Check().text().find("before its start"), std::string::npos);
#endif
}

TEST(DeviceTest, UploadsLandWhenWaitedFor) {
  std::unique_ptr<Device> device;
  ASSERT_FINE(OpenDevice(&device));
  void *to = nullptr, *pinned = nullptr;
  ASSERT_FINE(device->Allocate(64, &to));
  ASSERT_FINE(device->AllocatePinned(64, &pinned));
  std::memset(pinned, 7, 64);
  ASSERT_FINE(device->StartUpload(1, to, pinned, 64));
  unsigned char back[64] = {};
  if (device->kind() == BackendKind::kEmulation) {
    ASSERT_FINE(device->CopyOut(back, to, 64));
    EXPECT_EQ(back[0], 0xff);  // nobody has waited
  }
  ASSERT_FINE(device->UseUpload(1));
  ASSERT_FINE(device->FinishUpload(1));
  ASSERT_FINE(device->CopyOut(back, to, 64));
  EXPECT_EQ(back[63], 7);
  device->Free(to);
  device->FreePinned(pinned);
}

TEST(DeviceTest, LongCopiesComeBack) {
  std::unique_ptr<Device> device;
  ASSERT_FINE(OpenDevice(&device));
  std::vector<int32_t> values(3 << 20), back(values.size());  // three stagings of a GPU's
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i * 2654435761u);
  const auto bytes = static_cast<int64_t>(values.size() * sizeof(int32_t));
  void* memory = nullptr;
  ASSERT_FINE(device->Allocate(bytes, &memory));
  ASSERT_FINE(device->CopyIn(memory, values.data(), bytes));
  ASSERT_FINE(device->CopyOut(back.data(), memory, bytes));
  EXPECT_EQ(back, values);
  device->Free(memory);
}

}  // namespace
}  // namespace eaq::kernels
