// kernels/cuda/grouped_gemm.h against its formula: every format, grid, tile and epilogue, in exact integers and double.
#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/grouped_gemm_formats.h"
#include "kernels/cuda/grouped_wgmma.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/pack_weights.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::CanonicalWeights;
using cuda::GemmFormat;

constexpr double kEps = 0x1p-24;

int WeightBits(GemmFormat f) {
  constexpr int kBits[] = {8, 4, 4, 6, 4, 3, 2, 0, 0};  // mixed: an expert's own
  return kBits[static_cast<int>(f)];
}
int ActivationBits(GemmFormat f) { return f == GemmFormat::kW4A4 ? 4 : cuda::IsInteger(f) ? 8 : 16; }
const char* Name(GemmFormat f) {
  constexpr const char* kNames[] = {"W8A8",  "W4A8",  "W4A4",      "W6A16",   "W4A16",
                                    "W3A16", "W2A16", "mixed A16", "mixed A8"};
  return kNames[static_cast<int>(f)];
}

struct Case {
  GemmFormat format;
  int64_t group;
  bool weight_zeros, x_zeros;
  int token_tile;
  int64_t rows, cols;      // of one matrix: with swiglu, of gate and of up
  std::vector<int> loads;  // slots of each expert
  bool swiglu = false, bf16_out = false, gather = false, router = false;
  int multiprocessors = 2;
  int64_t shared_bytes = 100 << 10;  // of each
  std::vector<int> widths = {};      // of the experts, for the mixed formats
  // A second launch lays rows of patch_format over the results of the first: expert e has patch_rows - e % 2 of them.
  int64_t patch_rows = 0;
  GemmFormat patch_format = GemmFormat::kW8A8;
  int cluster = 0;  // by grouped_wgmma with clusters of so many blocks, and then by mma: the same bits
};

CanonicalWeights RandomWeights(Random& random, const Case& k, int64_t rows, int bits) {
  CanonicalWeights w;
  w.rows = rows;
  w.cols = k.cols;
  w.bits = bits;
  w.group = k.group;
  const int last = (1 << w.bits) - 1;
  w.codes = random.Integers<uint8_t>(w.rows * w.cols, 0, last);
  for (int64_t i = 0; i < w.rows * w.groups(); ++i) {
    const double sign = random.Integer(0, 3) == 0 ? -1 : 1;  // kSymmetricFullRange has negative scales
    w.scales.push_back(cuda::ToHalf(static_cast<float>(sign * (0.2 + random.Uniform()) / last)).bits);
    if (k.weight_zeros) w.zeros.push_back(static_cast<uint8_t>(random.Integer(0, last)));
  }
  return w;
}

// One expert's matrix on the device.
struct DeviceWeights {
  explicit DeviceWeights(const cuda::FragmentWeights& w)
      : codes("codes", w.codes),
        scales("scales", w.scales),
        zeros("zeros", w.zeros),
        sums("column sums", w.column_sums) {}
  cuda::ExpertMatrix matrix(int bits, const int32_t* outputs = nullptr) const {
    return {codes.data(), scales.data(), zeros.size() == 0 ? nullptr : zeros.data(), sums.data(), outputs, bits};
  }
  DeviceArray<uint8_t> codes;
  DeviceArray<uint16_t> scales;
  DeviceArray<uint8_t> zeros;
  DeviceArray<float> sums;
};

// All experts' matrices of a launch.
struct Matrices {
  void Add(Random& random, const Case& k, cuda::MmaOrder order, int64_t rows, int bits, const int32_t* outputs) {
    gates.push_back(RandomWeights(random, k, rows, bits));
    CanonicalWeights w = gates.back();
    if (k.swiglu) {
      ups.push_back(RandomWeights(random, k, rows, bits));
      w = cuda::InterleaveGateUp(gates.back(), ups.back());
    }
    packed_rows = w.rows;
    device.push_back(std::make_unique<DeviceWeights>(cuda::PackWeights(w, order)));
    matrices.push_back(device.back()->matrix(bits, outputs));
  }
  int64_t packed_rows = 0;
  std::vector<CanonicalWeights> gates, ups;
  std::vector<std::unique_ptr<DeviceWeights>> device;
  std::vector<cuda::ExpertMatrix> matrices;
};

struct Value {
  double value = 0, magnitude = 0;  // the sum, and the sum of absolute values of what the kernel adds up
  float exact = 0;                  // the kernel's very bits, where they are defined
};

// x of one row: integers q - 0 (codes) with scale and zero, or bfloat16 values.
struct Rows {
  std::vector<int8_t> codes;
  std::vector<float> scales;
  std::vector<int32_t> zeros, sums;
  std::vector<uint16_t> bf16;
};

Value Product(const Case& k, const CanonicalWeights& w, int64_t n, const Rows& x, int64_t row, int64_t padded) {
  Value result;
  const bool integer = ActivationBits(k.format) != 16;
  const int x_zero = integer && k.x_zeros ? x.zeros[row] : 0;
  int64_t whole = 0;
  for (int64_t g = 0; g < w.groups(); ++g) {
    const double scale = cuda::ToFloat(cuda::Half{w.scales[n * w.groups() + g]});
    const int zero = k.weight_zeros ? w.zeros[n * w.groups() + g] : 1 << (w.bits - 1);
    const int64_t first = g * w.group, last = w.group == 0 ? w.cols : std::min(w.cols, first + w.group);
    for (int64_t i = first; i < last; ++i) {
      const int u = w.codes[n * w.cols + i] - zero;
      if (integer) {
        const int q = x.codes[row * padded + i];
        whole += u * (q - x_zero);
        result.value += scale * u * (q - x_zero);
        result.magnitude += std::fabs(scale * u * q) + std::fabs(scale * u * x_zero);
      } else {
        const double v = cuda::ToFloat(cuda::Bf16{x.bf16[row * padded + i]});
        result.value += scale * u * v;
        result.magnitude += std::fabs(scale * u * v);
      }
    }
  }
  if (integer) {
    const float x_scale = x.scales[row];
    result.value *= x_scale;
    result.magnitude *= std::fabs(x_scale);
    result.exact = x_scale * cuda::ToFloat(cuda::Half{w.scales[n * w.groups()]}) * static_cast<float>(whole);
  }
  return result;
}

// How far a sum may be off, in units of its magnitude. Integers, one grid a row: nothing is lost before three roundings
// (and `exact` has them). Groups: the integer of a group is rounded once to float, one FMA for each group, then the
// product with the column sum (rounded when it was stored), a subtraction, the row's scale. bfloat16: tensor cores
// add up 8 or 16 products at a time and may truncate: 2 eps for each of cols / 8 + 1 additions, then one FMA a group
// and the scale.
double Tolerance(const Case& k) {
  const double groups = k.group == 0 ? 1 : static_cast<double>((k.cols + k.group - 1) / k.group);
  if (ActivationBits(k.format) == 16) return (2 * (static_cast<double>(k.cols) / 8 + 2) + groups + 2) * kEps;
  return (k.group == 0 ? 3 : groups + 6) * kEps;
}

Rows RandomRows(Random& random, const Case& k, int64_t rows, int64_t padded) {
  Rows x;
  const int bits = ActivationBits(k.format);
  const int64_t part = k.group == 0 ? 128 : k.group;  // columns of a sum
  for (int64_t r = 0; r < rows; ++r) {
    int total = 0;
    for (int64_t i = 0; i < padded; ++i) {
      const bool exists = i < k.cols;
      if (bits == 16) {
        x.bf16.push_back(exists ? cuda::ToBf16(static_cast<float>(random.Normal())).bits : uint16_t{0});
        continue;
      }
      const int64_t q = exists ? random.Integer(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) : 0;
      x.codes.push_back(static_cast<int8_t>(q));
      if (i % part == 0) x.sums.push_back(0);
      x.sums.back() += static_cast<int32_t>(q);
      total += static_cast<int>(q);
    }
    if (bits == 16) continue;
    x.sums.push_back(total);
    x.scales.push_back(static_cast<float>(0.01 + random.Uniform()));
    x.zeros.push_back(static_cast<int32_t>(random.Integer(-(1 << (bits - 1)), (1 << (bits - 1)) - 1)));
  }
  return x;
}

std::vector<int8_t> Packed4(const std::vector<int8_t>& codes) {
  std::vector<int8_t> packed(codes.size() / 2);
  for (size_t i = 0; i < packed.size(); ++i) {
    const size_t low = i / 32 * 64 + i % 32;
    packed[i] = static_cast<int8_t>((codes[low] & 15) | (codes[low + 32] & 15) << 4);
  }
  return packed;
}

double Silu(double z) { return z / (1 + std::exp(-z)); }

void CheckGemm(Checker& c, const Case& k) {
  Random random(c.seed());
  const auto experts = static_cast<int64_t>(k.loads.size());
  const cuda::MmaOrder order = cuda::OrderOf(k.format);
  Matrices base, patch;
  std::vector<std::vector<int32_t>> patched(experts);  // [result of the patch] column, or -1
  std::vector<std::unique_ptr<DeviceArray<int32_t>>> outputs;
  for (int64_t e = 0; e < experts; ++e) {
    const int bits = k.widths.empty() ? WeightBits(k.format) : k.widths[e];
    base.Add(random, k, order, k.rows, bits, nullptr);
    if (k.patch_rows == 0) continue;
    for (int64_t i = 0; i < k.patch_rows; ++i) {
      const bool exists = i < k.patch_rows - e % 2;
      patched[e].push_back(exists ? static_cast<int32_t>((5 * i + e) % k.rows) : -1);
    }
    outputs.push_back(std::make_unique<DeviceArray<int32_t>>("outputs", patched[e]));
    patch.Add(random, k, order, k.patch_rows, WeightBits(k.patch_format), outputs.back()->data());
  }
  std::vector<int32_t> offsets = {0}, tiles = {0};
  for (const int load : k.loads) {
    offsets.push_back(offsets.back() + load);
    tiles.push_back(tiles.back() + (load + k.token_tile - 1) / k.token_tile);
  }
  const int64_t slots = offsets.back(), padded = cuda::PaddedColumns(k.cols), top_k = 3;
  const int64_t x_rows = k.gather ? slots / top_k + 1 : slots, ldy = k.rows + 5;
  std::vector<int32_t> pair_of_slot(slots);
  for (int64_t s = 0; s < slots; ++s) pair_of_slot[s] = static_cast<int32_t>((s * 7 + 3) % std::max<int64_t>(slots, 1));
  const Rows x = RandomRows(random, k, x_rows, padded);
  const std::vector<float> factors = random.Normals(slots);

  DeviceArray<cuda::ExpertMatrix> d_experts("experts", base.matrices), d_patches("patches", patch.matrices);
  DeviceArray<int32_t> d_offsets("offsets", offsets), d_tiles("tile_offsets", tiles), d_pairs("pairs", pair_of_slot),
      d_zeros("x_zeros", x.zeros), d_sums("x_sums", x.sums);
  DeviceArray<int8_t> d_codes("x codes", ActivationBits(k.format) == 4 ? Packed4(x.codes) : x.codes);
  DeviceArray<uint16_t> d_bf16("x bf16", x.bf16), d_y16("y bf16", k.bf16_out ? slots * ldy : 0);
  DeviceArray<float> d_scales("x_scales", x.scales), d_factors("factors", factors),
      d_y("y", k.bf16_out ? 0 : slots * ldy);

  cuda::GroupedGemmArguments a;
  a.experts = d_experts.data();
  a.expert_count = experts;
  a.rows = base.packed_rows;
  a.cols = k.cols;
  a.group = k.group;
  a.offsets = d_offsets.data();
  a.tile_offsets = d_tiles.data();
  a.slots = slots;
  a.token_tile = k.token_tile;
  a.machine = {k.multiprocessors, k.shared_bytes};
  a.x = d_bf16.data();
  if (ActivationBits(k.format) != 16) {
    a.x = d_codes.data();
    a.x_scales = d_scales.data();
    if (k.x_zeros) a.x_zeros = d_zeros.data();
    if (cuda::NeedsSums(k.format, k.weight_zeros)) a.x_sums = d_sums.data();
    if (k.group != 0) a.x_sums_of_brick = static_cast<int>(128 / k.group);
  }
  if (k.gather) {
    a.x_rows = d_pairs.data();
    a.x_row_divisor = static_cast<int32_t>(top_k);
  }
  a.swiglu = k.swiglu;
  a.outputs = k.rows;
  a.y = k.bf16_out ? nullptr : d_y.data();
  a.y_bf16 = k.bf16_out ? d_y16.data() : nullptr;
  a.ldy = ldy;
  if (k.router) {
    a.pair_weights = d_factors.data();
    a.pair_of_slot = d_pairs.data();
  }
  std::vector<float> y;
  for (int run = 0; run < 2; ++run) {
    const int error = k.cluster == 0 ? cuda::GroupedGemm(k.format, a, nullptr)
                      : run == 0     ? cuda::GroupedWgmmaOfClusters(a, k.cluster, nullptr)
                                     : cuda::LaunchFormat<8, 8, 0>(a, nullptr);
    if (!c.Expect(error == 0, "launch")) return;
    if (k.patch_rows > 0) {
      cuda::GroupedGemmArguments over = a;
      over.experts = d_patches.data();
      over.rows = patch.packed_rows;
      over.outputs = k.patch_rows;
      if (!c.Expect(cuda::GroupedGemm(k.patch_format, over, nullptr) == 0, "launch of the patch")) return;
    }
    std::vector<float> got = d_y.Download();
    for (const uint16_t bits : d_y16.Download()) got.push_back(cuda::ToFloat(cuda::Bf16{bits}));
    if (run == 1)
      c.Expect(std::equal(got.begin(), got.end(), y.begin(), [](float p, float q) { return p == q || p != p; }),
               "two runs differ");
    y = got;
    d_y.Poison();
    d_y16.Poison();
  }

  const std::string name = std::string(Name(k.format)) + (k.group == 0 ? "" : " g" + std::to_string(k.group)) +
                           (k.weight_zeros ? " zeros" : "") + (k.x_zeros ? " x-zeros" : "") + " tile " +
                           std::to_string(k.token_tile) + (k.swiglu ? " swiglu" : "") + (k.bf16_out ? " bf16" : "") +
                           (k.patch_rows > 0 ? " patch" : "") +
                           (k.cluster > 0 ? " wgmma, clusters of " + std::to_string(k.cluster) : "");
  const bool exact = ActivationBits(k.format) != 16 && k.group == 0 && !k.swiglu && !k.bf16_out && !k.router;
  const double tolerance = Tolerance(k);
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t s = offsets[e]; s < offsets[e + 1]; ++s) {
      const int64_t row = k.gather ? pair_of_slot[s] / top_k : s;
      const double factor = k.router ? factors[pair_of_slot[s]] : 1.0f;
      for (int64_t n = 0; n < ldy; ++n) {
        const float got = y[s * ldy + n];
        if (n >= k.rows) {
          c.Expect(got != got, name, ": wrote beyond the row");
          continue;
        }
        // The patch's row where one lies over column n.
        const auto over = std::find(patched[e].begin(), patched[e].end(), static_cast<int32_t>(n));
        const Matrices& of = over == patched[e].end() ? base : patch;
        const int64_t r = over == patched[e].end() ? n : over - patched[e].begin();
        const Value gate = Product(k, of.gates[e], r, x, row, padded);
        double want = gate.value, bound = tolerance * gate.magnitude;
        if (k.swiglu) {
          // |silu'| < 1.1; expf and __fdividef (2 units each), the sum and the product add 12 eps of the result.
          const Value up = Product(k, of.ups[e], r, x, row, padded);
          want = Silu(gate.value) * up.value;
          bound = 1.1 * bound * (std::fabs(up.value) + tolerance * up.magnitude) +
                  std::fabs(Silu(gate.value)) * tolerance * up.magnitude + 12 * kEps * std::fabs(want);
        }
        want *= factor;
        bound = (bound * std::fabs(factor)) + 2 * kEps * std::fabs(want);
        if (k.bf16_out) bound += 0x1p-8 * (std::fabs(want) + bound);
        if (exact) {
          c.Expect(got == gate.exact, name, ": slot ", s, " output ", n, " is ", got, ", exactly ", gate.exact);
        } else {
          c.Near(got, want, bound, name.c_str(), s * ldy + n);
        }
      }
    }
  }
}

constexpr GemmFormat kAll[] = {GemmFormat::kW8A8,  GemmFormat::kW4A8,  GemmFormat::kW4A4, GemmFormat::kW6A16,
                               GemmFormat::kW4A16, GemmFormat::kW3A16, GemmFormat::kW2A16};

// Every format with one grid a row and with groups, symmetric and not, on every tile.
void CheckFormat(Checker& c, GemmFormat format) {
  const bool integer = ActivationBits(format) != 16;
  int turn = 0;
  for (const int64_t group : {0, 128}) {
    for (const bool zeros : {false, true}) {
      for (const int tile : {8, 16, 32, 128}) {
        Case k{format, group, zeros, integer && turn % 2 == 0, tile, 72, 300, {3, 0, tile == 128 ? 20 : tile + 1}};
        k.gather = turn % 3 == 0;
        CheckGemm(c, k);
        ++turn;
      }
    }
  }
}

EAQ_CHECK_CASE(GroupedGemmW8A8) { CheckFormat(c, GemmFormat::kW8A8); }
EAQ_CHECK_CASE(GroupedGemmW4A8) { CheckFormat(c, GemmFormat::kW4A8); }
EAQ_CHECK_CASE(GroupedGemmW4A4) { CheckFormat(c, GemmFormat::kW4A4); }
EAQ_CHECK_CASE(GroupedGemmW6A16) { CheckFormat(c, GemmFormat::kW6A16); }
EAQ_CHECK_CASE(GroupedGemmW4A16) { CheckFormat(c, GemmFormat::kW4A16); }
EAQ_CHECK_CASE(GroupedGemmW3A16) { CheckFormat(c, GemmFormat::kW3A16); }
EAQ_CHECK_CASE(GroupedGemmW2A16) { CheckFormat(c, GemmFormat::kW2A16); }

EAQ_CHECK_CASE(GroupedGemmEpilogues) {
  for (const GemmFormat format : kAll) {
    const bool integer = ActivationBits(format) != 16;
    Case gate_up{format, 128, true, integer, 16, 27, 200, {5, 18, 1}, true};
    gate_up.gather = true;
    CheckGemm(c, gate_up);
    gate_up.group = 0;
    gate_up.bf16_out = true;
    CheckGemm(c, gate_up);
    Case down{format, 0, false, integer, 8, 40, 130, {9, 2}};
    down.router = true;
    CheckGemm(c, down);
  }
}

// Shapes at the edges: one token, one expert with all, none at all, one row, one column, more blocks than tiles and one
// block for all tiles.
EAQ_CHECK_CASE(GroupedGemmShapes) {
  for (const GemmFormat format : {GemmFormat::kW8A8, GemmFormat::kW4A4, GemmFormat::kW4A16}) {
    const int64_t group = format == GemmFormat::kW4A16 ? 128 : 0;
    const bool integer = ActivationBits(format) != 16;
    CheckGemm(c, {format, group, true, integer, 8, 16, 128, {1}});
    CheckGemm(c, {format, group, true, integer, 8, 1, 1, {0, 0, 1, 0}});
    CheckGemm(c, {format, group, true, integer, 8, 129, 700, {0, 17, 0}, false, false, false, false, 1});
    CheckGemm(c, {format, group, false, false, 32, 65, 257, {0, 33, 0, 0, 0, 1}, false, false, false, false, 20});
    CheckGemm(c, {format, group, true, false, 128, 130, 129, {130, 0}, false, false, false, false, 1});
    CheckGemm(c, {format, group, true, integer, 16, 40, 128, {0, 0}});
  }
}

// Groups of 64 and 32: every tile, one group short of a brick, one column beyond a group, one column at all.
EAQ_CHECK_CASE(GroupedGemmSmallGroups) {
  int turn = 0;
  for (const GemmFormat format : kAll) {
    const bool integer = ActivationBits(format) != 16;
    for (const int64_t group : {64, 32}) {
      for (const int tile : {8, 16, 32, 128}) {
        const int64_t cols[] = {300, 225, 352};
        const bool zeros = turn / 2 % 2 == 0, x_zeros = integer && turn % 2 == 0;
        Case k{format, group, zeros, x_zeros, tile, 72, cols[turn % 3], {3, 0, tile == 128 ? 20 : tile + 1}};
        k.gather = turn % 3 == 0;
        CheckGemm(c, k);
        ++turn;
      }
      CheckGemm(c, {format, group, true, false, 8, 1, 1, {0, 0, 1, 0}});
      CheckGemm(c, {format, group, true, false, 8, 200, 256, {1, 2, 1}, false, false, false, false, 1});
      CheckGemm(c, {format, group, true, false, 16, 27, 200, {5, 18, 1}, true});
    }
  }
}

// Every expert its width, one launch: all tiles, with and without groups, an expert without tokens, one block for all.
EAQ_CHECK_CASE(GroupedGemmMixedWidths) {
  int turn = 0;
  for (const GemmFormat format : {GemmFormat::kMixedA16, GemmFormat::kMixedA8}) {
    const bool integer = format == GemmFormat::kMixedA8;
    for (const int64_t group : {0, 128, 64, 32}) {
      for (const int tile : {8, 16, 32, 128}) {
        Case k{format,
               group,
               (turn + turn / 4) % 2 == 0,
               integer,
               tile,
               80,
               200,
               {3, 0, tile == 128 ? 20 : tile + 1, 1, 2}};
        k.widths = integer ? std::vector<int>{8, 4, 4, 8, 4} : std::vector<int>{4, 2, 3, 6, 4};
        k.gather = turn % 3 == 0;
        k.multiprocessors = turn % 2 + 1;
        CheckGemm(c, k);
        k.swiglu = k.bf16_out = true;
        k.rows = 27;
        CheckGemm(c, k);
        ++turn;
      }
    }
    Case one{format, 0, true, integer, 8, 1, 1, {0, 1}};
    one.widths = {4, 4};
    CheckGemm(c, one);
  }
}

// A few rows of another width over the results, for the plain product and for gate and up together.
// Fewer tiles than multiprocessors: the smaller tile of 8 tokens.
EAQ_CHECK_CASE(GroupedGemmFewTiles) {
  for (const int64_t group : {0, 128, 64, 32}) {
    for (const GemmFormat format : kAll) {
      const bool integer = ActivationBits(format) != 16;
      CheckGemm(c, {format, group, true, integer, 8, 72, 300, {3, 9}, false, false, false, false, 5});
    }
    Case mixed{GemmFormat::kMixedA16, group, true, false, 8, 72, 300, {3, 9}, false, false, false, false, 5};
    mixed.widths = {2, 6};
    CheckGemm(c, mixed);
    mixed.format = GemmFormat::kMixedA8;
    mixed.widths = {8, 4};
    CheckGemm(c, mixed);
  }
}
EAQ_CHECK_CASE(GroupedGemmPatches) {
  for (const bool swiglu : {false, true}) {
    Case k{GemmFormat::kW2A16, 128, true, false, 8, 90, 300, {3, 0, 9}, swiglu};
    k.patch_format = GemmFormat::kW6A16;
    k.patch_rows = 5;
    k.router = !swiglu;
    CheckGemm(c, k);
    k.patch_rows = 1;  // the second expert has none
    CheckGemm(c, k);
    k.patch_rows = 18;
    k.format = GemmFormat::kMixedA16;
    k.widths = {2, 4, 3};
    CheckGemm(c, k);
    Case integer{GemmFormat::kW4A8, 0, true, true, 16, 90, 300, {3, 0, 17}, swiglu};
    integer.patch_format = GemmFormat::kW8A8;
    integer.patch_rows = 17;
    integer.bf16_out = swiglu;
    CheckGemm(c, integer);
  }
}

// Hopper's own kernel against the twin and, bit for bit, against mma's. Elsewhere it refuses.
bool WgmmaIsHere(Checker& c) {
  if (cuda::HasWgmma()) return true;
  float y = 0;
  cuda::GroupedGemmArguments a;
  a.expert_count = a.slots = a.rows = a.cols = a.outputs = a.ldy = 1;
  a.x_scales = a.y = &y;
  c.Expect(cuda::GroupedWgmma(a, nullptr) != 0, "grouped_wgmma runs without wgmma");
  return false;
}

Case WgmmaCase(int cluster, int64_t rows, int64_t cols, std::vector<int> loads, int multiprocessors) {
  Case k{GemmFormat::kW8A8, 0, false, false, 128, rows, cols, std::move(loads)};
  k.cluster = cluster;
  k.multiprocessors = multiprocessors;
  return k;
}

// Every width of the product (a block's share of 1 to 144 slots), one and several rounds of the ring, one cluster for
// all items.
EAQ_CHECK_CASE(GroupedWgmmaWidths) {
  if (!WgmmaIsHere(c)) return;
  for (const int slots : {1, 64, 65, 96, 97, 112, 113, 128, 129, 144, 145}) {
    Case k = WgmmaCase(1, 72, slots % 2 == 0 ? 120 : 700, {slots}, 1);
    k.weight_zeros = slots % 3 == 0;
    k.x_zeros = slots % 3 == 1;
    CheckGemm(c, k);
  }
}

// Clusters: experts without slots, with one slot, with fewer than blocks, with more than a cluster takes at once;
// outputs of no, one and several whole tiles.
EAQ_CHECK_CASE(GroupedWgmmaClusters) {
  if (!WgmmaIsHere(c)) return;
  for (const int cluster : {1, 2, 4}) {
    if (c.small() && cluster > 2) break;
    CheckGemm(c, WgmmaCase(cluster, 300, 300, {3, 0, 40 * cluster, 1}, cluster));
    CheckGemm(c, WgmmaCase(cluster, 16, 129, {0, 144 * cluster + 5, 0}, 3 * cluster));
    CheckGemm(c, WgmmaCase(cluster, 1, 1, {0, 0, 1, 0}, 4 * cluster));
    Case gather = WgmmaCase(cluster, 512, 520, {70 * cluster, 9, 0, 33}, 2 * cluster);
    gather.gather = gather.weight_zeros = gather.x_zeros = true;
    CheckGemm(c, gather);
  }
}

EAQ_CHECK_CASE(GroupedWgmmaEpilogues) {
  if (!WgmmaIsHere(c)) return;
  for (const int cluster : {1, 2, 4}) {
    if (c.small() && cluster > 2) break;
    Case gate_up = WgmmaCase(cluster, 130, 260, {50 * cluster, 18, 0, 1}, 2 * cluster);
    gate_up.swiglu = gate_up.gather = gate_up.weight_zeros = gate_up.x_zeros = true;
    CheckGemm(c, gate_up);
    gate_up.weight_zeros = gate_up.x_zeros = false;
    CheckGemm(c, gate_up);
    Case down = WgmmaCase(cluster, 260, 130, {30 * cluster, 2}, cluster);
    down.router = true;
    CheckGemm(c, down);
    down.patch_rows = 5;
    CheckGemm(c, down);
  }
}

// The entry of all formats takes it where experts have many slots.
EAQ_CHECK_CASE(GroupedWgmmaIsChosen) {
  if (!WgmmaIsHere(c)) return;
  float y = 0;
  cuda::GroupedGemmArguments a;
  a.expert_count = 8;
  a.slots = 8 * cuda::kWgmmaLeastSlots;
  a.y = &y;
  c.Expect(cuda::PrefersWgmma(a), "many slots");
  a.slots -= 1;
  c.Expect(!cuda::PrefersWgmma(a), "few slots");
  a.slots += 1;
  a.group = 128;
  c.Expect(!cuda::PrefersWgmma(a) && cuda::GroupedWgmma(a, nullptr) != 0, "groups");
  a.group = 0;
  a.y = nullptr;
  c.Expect(!cuda::PrefersWgmma(a) && cuda::GroupedWgmma(a, nullptr) != 0, "bfloat16 results");
  Case k = WgmmaCase(0, 72, 300, {100, 80, 20}, 4);
  k.weight_zeros = true;
  CheckGemm(c, k);
}

EAQ_CHECK_CASE(GroupedGemmLimits) {
  cuda::GroupedGemmArguments a;
  a.expert_count = 1;
  a.rows = a.outputs = a.ldy = 16;
  a.cols = 128;
  a.slots = 0;
  c.Expect(cuda::GroupedGemm(GemmFormat::kW4A16, a, nullptr) == 0, "no slots");
  a.slots = 1;
  float y;
  a.y = &y;
  const auto refused = [&](auto change) {
    cuda::GroupedGemmArguments bad = a;
    change(bad);
    return cuda::GroupedGemm(GemmFormat::kW4A16, bad, nullptr) != 0;
  };
  c.Expect(refused([](auto& b) { b.group = 100; }), "group 100");
  c.Expect(refused([](auto& b) { b.cols = 40000; }), "40000 columns");
  c.Expect(refused([](auto& b) { b.token_tile = 24; }), "tile 24");
  c.Expect(refused([](auto& b) { b.outputs = 17; }), "more outputs than rows");
  c.Expect(refused([](auto& b) { b.y = nullptr; }), "no results");
  c.Expect(refused([](auto& b) { b.x = reinterpret_cast<const void*>(8); }), "misaligned x");
  c.Expect(refused([&](auto& b) { b.pair_weights = &y; }), "factors without pairs");
  c.Expect(cuda::GroupedGemm(GemmFormat::kW8A8, a, nullptr) != 0, "no scales");
  a.x_scales = &y;
  c.Expect(cuda::GroupedGemm(GemmFormat::kW4A8, a, nullptr) != 0, "no sums");
  a.group = 64;
  c.Expect(cuda::GroupedGemm(GemmFormat::kW8A8, a, nullptr) != 0, "sums of 128 columns for groups of 64");
}

}  // namespace
}  // namespace eaq::kernels::selftest
