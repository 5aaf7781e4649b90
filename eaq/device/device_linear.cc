#include "eaq/device/device_linear.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/quantized_linear.h"
#include "eaq/tensor/f16.h"

namespace eaq {
namespace {

using kernels::cuda::CanonicalWeights;
using kernels::cuda::GemmFormat;
using kernels::cuda::RowGrid;
using kernels::cuda::RowQuantizer;
using Kind = ProductFormat::Kind;

template <typename... Words>
absl::Status Refused(const LinearId& id, const Words&... words) {
  return absl::UnimplementedError(absl::StrCat(id.ToString(), " does not run on a device: ", words...));
}

RowGrid RowGridOf(GridKind kind) {
  switch (kind) {
    case GridKind::kSymmetricFullRange:
      return RowGrid::kSymmetricFullRange;
    case GridKind::kSymmetricRestricted:
      return RowGrid::kSymmetricRestricted;
    default:
      return RowGrid::kAsymmetric;
  }
}

// Nothing where kernels cannot take the codes: binary ones, groups of columns that are not consecutive, a scale that is
// no float16 number.
std::optional<CanonicalWeights> Canonical(const QuantizedMatrix& q) {
  const GridSpec& grid = q.grid;
  if (!q.group_of_column.empty()) return std::nullopt;
  CanonicalWeights w;
  w.rows = q.rows;
  w.cols = q.cols;
  w.bits = grid.bits;
  for (const uint8_t bits : q.group_bits) {
    if (bits < 2) return std::nullopt;
    w.bits = std::max<int>(w.bits, bits);
  }
  if (q.group_bits.empty() && grid.kind == GridKind::kBinary) return std::nullopt;
  if (grid.granularity == Granularity::kGroup && grid.group_size < q.cols) w.group = grid.group_size;
  w.codes = q.codes;
  const bool own_zeros = !grid.symmetric() || !q.group_bits.empty();
  for (int64_t r = 0; r < q.rows; ++r) {
    for (int64_t g = 0; g < w.groups(); ++g) {
      const GridParams p = q.ParamsAt(r, g * std::max<int64_t>(w.group, 1));
      const uint16_t scale = FloatToF16(p.scale);
      if (F16ToFloat(scale) != p.scale) return std::nullopt;
      w.scales.push_back(scale);
      if (own_zeros) w.zeros.push_back(static_cast<uint8_t>(p.zero));
    }
  }
  return w;
}

// Whether every scale can be taken 16 times.
bool ScalesLeaveRoom(const CanonicalWeights& w) {
  return std::all_of(w.scales.begin(), w.scales.end(),
                     [](uint16_t scale) { return std::abs(F16ToFloat(scale)) <= 65504.0f / 16; });
}

bool AllBf16(const Matrix& m) {
  for (const float value : m.values()) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0xffffu) != 0) return false;
  }
  return true;
}

bool SameNumbers(const RowQuantizer& a, const RowQuantizer& b) {
  return a.bits == b.bits && a.grid == b.grid && a.clip_ratio == b.clip_ratio && a.fixed == b.fixed &&
         (!a.fixed || (a.fixed_scale == b.fixed_scale && a.fixed_zero == b.fixed_zero));
}

// Whether a launch can take one's numbers in the place of the other's.
bool AlikeTransform(const InputFormat& a, const InputFormat& b) {
  if (a.online == nullptr || b.online == nullptr) return a.online == b.online;
  const auto& x = a.online->steps;
  const auto& y = b.online->steps;
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), [](const OnlineStep& s, const OnlineStep& t) {
    return s.kind == t.kind && s.block == t.block && s.stride == t.stride && s.rotation.rows() == t.rotation.rows();
  });
}

// The numbers that LINEAR multiplies by, where its codes cannot be taken.
std::shared_ptr<const Matrix> Borrowed(const Matrix& m) { return {std::shared_ptr<const Matrix>(), &m}; }

// In codes of WIDTH bits: a symmetric grid's zero is the middle of its own width, and its codes move with it.
CanonicalWeights Widened(const CanonicalWeights& codes, int width) {
  CanonicalWeights wide = codes;
  const int shift = codes.zeros.empty() ? (1 << (width - 1)) - (1 << (codes.bits - 1)) : 0;
  wide.bits = width;
  for (uint8_t& code : wide.codes) code = static_cast<uint8_t>(code + shift);
  return wide;
}

// The kernels for codes: all have GROUP columns a grid and between the narrowest and the widest of WIDTHS bits.
// False: none.
bool ChooseCodes(const std::set<int>& widths, bool room, ProductFormat& product) {
  const int narrowest = *widths.begin(), widest = *widths.rbegin();
  const int64_t group = product.group;
  if (group != 0 && group != 128 && group != 64 && group != kSmallestGroup) return false;
  product.kind = Kind::kQuantized;
  if (product.input.bits < 16 && product.input.group == 0) {
    product.integer = true;
    if (group != 0) product.input.quantizer.sums_of_brick = static_cast<int>(128 / group);
    const bool narrow = widest <= 4;
    if (!narrow && narrowest <= 4) {
      product.format = GemmFormat::kMixedA8;  // HeldCodes: each in 4 or 8
      return true;
    }
    product.width = narrow ? 4 : 8;
    product.format = !narrow ? GemmFormat::kW8A8 : product.input.bits <= 4 ? GemmFormat::kW4A4 : GemmFormat::kW4A8;
    product.input.quantizer.pack4 = product.format == GemmFormat::kW4A4;
    return true;
  }
  if (widest <= 6) {
    if (widths.size() > 1 && narrowest <= 4) {
      product.format = GemmFormat::kMixedA16;  // HeldCodes: each in its own
      return true;
    }
    product.width = widest == 5 ? 6 : widest;
    product.format = widest > 4    ? GemmFormat::kW6A16
                     : widest == 4 ? GemmFormat::kW4A16
                     : widest == 3 ? GemmFormat::kW3A16
                                   : GemmFormat::kW2A16;
    return true;
  }
  if (!room) return false;
  product.width = 8;
  product.planes = 2;
  product.format = GemmFormat::kW4A16;
  return true;
}

}  // namespace

absl::StatusOr<InputFormat> FormatOf(const LinearId& id, const ActivationQuantizer& activation,
                                     const OnlineTransform* online, int64_t cols) {
  InputFormat input;
  if (online != nullptr && !online->steps.empty()) input.online = online;
  if (activation.identity()) return input;
  const GridSpec& spec = activation.spec();
  if (spec.kind == GridKind::kBinary) return Refused(id, "binary activations");
  input.bits = spec.bits;
  if (spec.granularity == Granularity::kGroup && spec.group_size < cols) input.group = spec.group_size;
  input.quantizer.bits = spec.bits;
  input.quantizer.grid = RowGridOf(spec.kind);
  input.quantizer.clip_ratio = activation.clip_ratio();
  if (activation.is_static()) {
    input.quantizer.fixed = true;
    input.quantizer.fixed_scale = activation.static_params().scale;
    input.quantizer.fixed_zero = static_cast<int>(activation.static_params().zero);
  }
  return input;
}

bool SameTransform(const InputFormat& a, const InputFormat& b) {
  return a.online == b.online || (a.online != nullptr && b.online != nullptr && *a.online == *b.online);
}

bool SameRounding(const InputFormat& a, const InputFormat& b) {
  return a.bits == b.bits && (a.bits > 8 || (a.group == b.group && SameNumbers(a.quantizer, b.quantizer)));
}

absl::StatusOr<DeviceLinear> DescribeLinear(const LinearId& id, const Linear& linear, const QuantizedMatrix* codes) {
  DeviceLinear result;
  result.id = id;
  result.rows = linear.out_features();
  result.cols = linear.in_features();
  ActivationQuantizer activation;
  std::optional<QuantizedMatrix> unpacked;
  if (const auto* dense = dynamic_cast<const DenseLinear*>(&linear)) {
    result.weight = Borrowed(dense->weight());
    result.bias = dense->bias();
  } else if (const auto* fake = dynamic_cast<const FakeQuantLinear*>(&linear)) {
    result.weight = Borrowed(fake->weight());
    result.bias = fake->bias();
    activation = fake->activation();
  } else if (const auto* packed = dynamic_cast<const PackedLinear*>(&linear)) {
    if (!packed->patched().empty()) return Refused(id, "rows of a cache stand over packed codes");
    result.bias = packed->bias();
    activation = packed->activation();
    EAQ_ASSIGN_OR_RETURN(unpacked, Unpack(packed->weight()));
    codes = &*unpacked;
  } else {
    return Refused(id, "a kind of linear that is not known here");
  }
  EAQ_ASSIGN_OR_RETURN(result.input, FormatOf(id, activation, linear.online(), result.cols));
  if (codes == nullptr) return result;
  if (codes->rows != result.rows || codes->cols != result.cols) {
    return absl::InvalidArgumentError(absl::StrCat(id.ToString(), ": codes of [", codes->rows, ", ", codes->cols,
                                                   "]; expected [", result.rows, ", ", result.cols, "]"));
  }
  if (result.weight == nullptr || Dequantize(*codes) == *result.weight) result.codes = Canonical(*codes);
  if (result.codes) {
    result.weight = nullptr;
  } else if (result.weight == nullptr) {
    result.weight = std::make_shared<const Matrix>(Dequantize(*codes));
  }
  return result;
}

DeviceLinear SelectRows(const DeviceLinear& linear, absl::Span<const int32_t> rows) {
  DeviceLinear some = linear;
  some.rows = static_cast<int64_t>(rows.size());
  const auto select = [&](auto& values, int64_t width) {
    const auto all = values;
    values.clear();
    for (const int32_t row : rows)
      values.insert(values.end(), all.begin() + row * width, all.begin() + (row + 1) * width);
  };
  if (!some.bias.empty()) select(some.bias, 1);
  if (some.codes) {
    CanonicalWeights& w = *some.codes;
    select(w.codes, w.cols);
    select(w.scales, w.groups());
    if (!w.zeros.empty()) select(w.zeros, w.groups());
    w.rows = some.rows;
    return some;
  }
  auto weight = std::make_shared<Matrix>(some.rows, some.cols);
  for (int64_t r = 0; r < some.rows; ++r) {
    std::copy_n(linear.weight->row(rows[r]), some.cols, weight->row(r));
  }
  some.weight = std::move(weight);
  return some;
}

absl::StatusOr<ProductFormat> ChooseProduct(absl::Span<const DeviceLinear> linears, bool together) {
  const DeviceLinear& first = linears[0];
  ProductFormat product;
  product.input = first.input;
  std::set<int> widths;
  bool codes = true, room = true;
  for (const DeviceLinear& linear : linears) {
    if (!SameRounding(linear.input, first.input) || !AlikeTransform(linear.input, first.input)) {
      return absl::UnimplementedError(absl::StrCat(
          first.id.ToString(), " in one launch with ", linear.id.ToString(),
          " does not run on a device: their rows are prepared in different ways (", first.input.bits, " and ",
          linear.input.bits,
          " bits, other grids, or other kinds of transforms); expected the same for all experts of a ", "layer"));
    }
    if (together && !linear.bias.empty()) return Refused(linear.id, "it has a bias");
    product.by_expert = product.by_expert || !SameTransform(linear.input, first.input);
    codes = codes && linear.codes && first.codes && linear.codes->group == first.codes->group;
    if (!codes) continue;
    widths.insert(linear.codes->bits);
    room = room && ScalesLeaveRoom(*linear.codes);
  }
  if (codes) {
    product.group = first.codes->group;
    if (ChooseCodes(widths, room, product)) return product;
  }
  // By their numbers.
  product.group = 0;
  const bool routing = first.id.role == Role::kRouter || first.id.role == Role::kSharedExpertGate;
  bool bf16 = !routing;
  for (const DeviceLinear& linear : linears) {
    if (!bf16) break;
    bf16 = linear.weight != nullptr && AllBf16(*linear.weight);
  }
  product.kind = bf16 || together ? Kind::kBf16 : Kind::kFloat32;
  product.planes = bf16 || !together ? 1 : 3;
  return product;
}

std::vector<CanonicalWeights> HeldCodes(const CanonicalWeights& codes, const ProductFormat& format) {
  int width = format.width;
  if (width == 0) width = format.integer ? (codes.bits <= 4 ? 4 : 8) : codes.bits == 5 ? 6 : codes.bits;
  CanonicalWeights held = Widened(codes, width);
  if (format.planes == 1) return {std::move(held)};
  // s (u - z) = 16 s (u / 16 - z / 16) + s (u % 16 - z % 16)
  CanonicalWeights high = held, low = held;
  if (held.zeros.empty()) high.zeros = low.zeros = std::vector<uint8_t>(held.scales.size(), 128);
  for (CanonicalWeights* plane : {&high, &low}) {
    plane->bits = 4;
    for (uint8_t& code : plane->codes) code = plane == &high ? code >> 4 : code & 15;
    for (uint8_t& zero : plane->zeros) zero = plane == &high ? zero >> 4 : zero & 15;
  }
  for (uint16_t& scale : high.scales) scale = FloatToF16(16 * F16ToFloat(scale));
  return {std::move(high), std::move(low)};
}

}  // namespace eaq
