// kernels/cuda/transform_rows.h against the matrices written out, in double precision.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cuda/transform_rows.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::RowTransform;
using Kind = RowTransform::Kind;

struct Case {
  int64_t rows, cols;
  RowTransform t;
  bool gather = false, divide = false;
  int64_t sets = 0;  // 0: one for all
  bool in_place = false;
};

// H[i, j] of order `block`: C[i / m, j / m] times Sylvester's (-1)^(bits that i and j share), m = block / core order.
double HadamardEntry(const std::vector<int8_t>& core, int64_t core_order, int64_t block, int64_t i, int64_t j) {
  const int64_t m = block / core_order;
  const double sign = std::popcount(static_cast<uint64_t>(i % m & j % m)) % 2 == 0 ? 1 : -1;
  return sign * (core_order == 1 ? 1 : core[i / m * core_order + j / m]) / std::sqrt(static_cast<double>(block));
}

void CheckTransform(Checker& c, Case k, Random& random) {
  const int64_t sets = std::max<int64_t>(1, k.sets), cols = k.cols, source_rows = k.rows + 2;
  const int64_t ldx = k.in_place ? cols : cols + 5;
  const std::vector<float> x = random.Normals((k.in_place ? k.rows : source_rows) * ldx);
  std::vector<float> divisors(sets * cols);
  for (float& d : divisors) d = static_cast<float>(0.5 + random.Uniform());
  std::vector<int32_t> gather = random.Integers<int32_t>(k.rows, 0, 2 * source_rows - 1);
  if (k.rows > 1) gather[k.rows - 1] = -1;
  std::vector<int32_t> pair_of_row = random.Integers<int32_t>(k.rows, 0, 9);
  if (k.rows > 1) pair_of_row[k.rows / 2] = -1;  // zeros, where there are sets
  const std::vector<int32_t> set_of_pair = random.Integers<int32_t>(10, 0, sets - 1);
  const int64_t block = std::max<int64_t>(1, k.t.block);
  const std::vector<float> rotation = random.Normals(k.t.kind == Kind::kRotate ? sets * block * block : 1);
  std::vector<int32_t> permutation;
  for (int64_t s = 0; s < sets; ++s) {
    for (int64_t i = 0; i < cols; ++i) permutation.push_back(static_cast<int32_t>(i));
    for (int64_t i = cols - 1; i > 0; --i) {
      std::swap(permutation[s * cols + i], permutation[s * cols + random.Integer(0, i)]);
    }
  }
  std::vector<int8_t> core(k.t.core_order * k.t.core_order);
  for (int8_t& sign : core) sign = random.Integer(0, 1) == 0 ? 1 : -1;

  DeviceArray<float> dx("x", x), dd("divisors", divisors), dr("rotation", rotation), y("y", k.rows * cols);
  DeviceArray<int32_t> dg("gather", gather), dp("permutation", permutation), dpair("pair_of_row", pair_of_row),
      dset("set_of_pair", set_of_pair);
  DeviceArray<int8_t> dc("core", core);
  k.t.rotation = dr.data();
  k.t.permutation = dp.data();
  k.t.core = dc.data();
  cuda::RowSource source{dx.data(), ldx, k.rows, cols};
  if (k.divide) source.divisors = dd.data();
  if (k.gather) {
    source.gather = dg.data();
    source.gather_divisor = 2;
  }
  cuda::RowSets which;
  if (k.sets > 0) which = {dpair.data(), dset.data()};
  float* const to = k.in_place ? dx.data() : y.data();
  c.Expect(cuda::TransformRows(source, k.t, which, to, nullptr) == 0, "launch");
  const std::vector<float> got = k.in_place ? dx.Download() : y.Download();

  for (int64_t r = 0; r < k.rows; ++r) {
    int64_t from = !k.gather ? r : gather[r] < 0 ? -1 : gather[r] / 2;
    if (k.sets > 0 && pair_of_row[r] < 0) from = -1;
    const int64_t set = k.sets > 0 && from >= 0 ? set_of_pair[pair_of_row[r]] : 0;
    std::vector<double> row(cols, 0.0);
    for (int64_t i = 0; i < cols && from >= 0; ++i) {
      row[i] = x[from * ldx + i];
      if (k.divide) row[i] /= divisors[set * cols + i];
    }
    for (int64_t j = 0; j < cols; ++j) {
      double want = 0, size = 0;  // and the sum of magnitudes
      const auto add = [&](double value) {
        want += value;
        size += std::fabs(value);
      };
      double roundings = 1;  // of 2^-24 each
      if (k.t.kind == Kind::kCopy) {
        add(row[j]);
      } else if (k.t.kind == Kind::kPermute) {
        add(row[permutation[set * cols + j]]);
      } else if (k.t.kind == Kind::kRotate) {
        for (int64_t i = 0; i < block; ++i) {
          add(row[j / block * block + i] * rotation[(set * block + i) * block + j % block]);
        }
        roundings = static_cast<double>(block) + 1;
      } else {
        const int64_t piece = block * k.t.stride, first = j / piece * piece, s = j % k.t.stride;
        for (int64_t i = 0; i < block; ++i) {
          add(row[first + i * k.t.stride + s] *
              HadamardEntry(core, k.t.core_order, block, i, (j - first) / k.t.stride));
        }
        roundings = std::log2(static_cast<double>(block)) + static_cast<double>(k.t.core_order) + 4;
      }
      c.Near(got[r * cols + j], want, (roundings + 1) * 0x1p-24 * size, "y", r * cols + j);
    }
  }
}

RowTransform Step(Kind kind, int64_t block = 0, int64_t stride = 1, int64_t core_order = 1) {
  RowTransform t;
  t.kind = kind;
  t.block = block;
  t.stride = stride;
  t.core_order = core_order;
  return t;
}

EAQ_CHECK_CASE(TransformRowsShapes) {
  Random random(c.seed());
  int turn = 0;
  for (const RowTransform& t :
       {Step(Kind::kCopy), Step(Kind::kPermute), Step(Kind::kRotate, 8), Step(Kind::kRotate, 24),
        Step(Kind::kRotate, 1), Step(Kind::kHadamard, 8), Step(Kind::kHadamard, 24, 1, 12),
        Step(Kind::kHadamard, 2, 12), Step(Kind::kHadamard, 1, 1), Step(Kind::kHadamard, 12, 2, 12)}) {
    for (const int64_t cols : {24, 48, 1200}) {
      if (c.small() && cols > 48) break;
      for (const int64_t sets : {0, 3}) {
        CheckTransform(c, {turn % 4 == 0 ? int64_t{1} : int64_t{11}, cols, t, turn % 3 == 0, turn % 2 == 0, sets},
                       random);
        ++turn;
      }
    }
  }
}

// More channels than a block of threads takes otherwise; more than 48 KiB of shared memory; in place.
EAQ_CHECK_CASE(TransformRowsLimits) {
  Random random(c.seed());
  CheckTransform(c, {9, 600, Step(Kind::kRotate, 300)}, random);
  CheckTransform(c, {2, 1024, Step(Kind::kRotate, 1024)}, random);
  CheckTransform(c, {2, 4096, Step(Kind::kHadamard, 2048)}, random);
  CheckTransform(c, {1, 16384, Step(Kind::kHadamard, 4, 4096)}, random);
  CheckTransform(c, {3, 96, Step(Kind::kHadamard, 32), false, true, 0, true}, random);
  CheckTransform(c, {11, 96, Step(Kind::kRotate, 16), false, false, 0, true}, random);
  CheckTransform(c, {3, 96, Step(Kind::kCopy), false, true, 2, true}, random);

  const cuda::RowSource source{nullptr, 48, 2, 48};
  const auto refused = [&](const RowTransform& t, const char* why) {
    c.Expect(cuda::TransformRows(source, t, {}, nullptr, nullptr) != 0, why);
  };
  refused(Step(Kind::kRotate, 8), "no rotation");
  refused(Step(Kind::kPermute), "no permutation");
  refused(Step(Kind::kHadamard, 32), "48 columns in blocks of 32");
  refused(Step(Kind::kHadamard, 16, 2), "48 columns in blocks of 16, stride 2");
  refused(Step(Kind::kHadamard, 12), "no power of two");
  refused(Step(Kind::kHadamard, 24, 1, 12), "no core");
  const cuda::RowSource none{nullptr, 48, 0, 48};
  c.Expect(cuda::TransformRows(none, {}, {}, nullptr, nullptr) == 0, "no rows");
}

}  // namespace
}  // namespace eaq::kernels::selftest
