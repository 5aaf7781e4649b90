#include "eaq/device/device_linear.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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

absl::StatusOr<InputFormat> FormatOf(const LinearId& id, const ActivationQuantizer& activation,
                                     const OnlineTransform* online, int64_t cols) {
  InputFormat input;
  if (online != nullptr && !online->steps.empty()) {
    if (online->steps.size() > 1 || online->steps[0].kind != OnlineStep::Kind::kDivide) {
      return Refused(id, "its input goes through \"", online->ToString(),
                     "\" at run time; expected nothing, or one division");
    }
    input.divisors = online->steps[0].divisors;
  }
  if (activation.identity()) return input;
  const GridSpec& spec = activation.spec();
  if (spec.kind == GridKind::kBinary) return Refused(id, "binary activations");
  if (!activation.is_static() && spec.granularity == Granularity::kGroup && spec.group_size < cols) {
    return Refused(id, "activations on a grid per ", spec.group_size, " channels; expected one a token");
  }
  input.bits = spec.bits;
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

// The width in which codes of BITS run; 0: none.
int HeldWidth(int bits, bool integer_activations) {
  if (integer_activations) return bits <= 4 ? 4 : 8;
  return bits <= 4 ? bits : bits <= 6 ? 6 : 0;
}

absl::StatusOr<CanonicalWeights> Canonical(const LinearId& id, const QuantizedMatrix& q, bool integer_activations) {
  const GridSpec& grid = q.grid;
  if (grid.kind == GridKind::kBinary) return Refused(id, "binary weights");
  if (!q.group_bits.empty()) return Refused(id, "weights with widths by group");
  if (!q.group_of_column.empty()) return Refused(id, "groups of columns that are not consecutive");
  const int width = HeldWidth(grid.bits, integer_activations);
  if (width == 0) {
    return Refused(id, "weights of ", grid.bits, " bits beside 16-bit activations; expected at most 6 bits");
  }
  CanonicalWeights w;
  w.rows = q.rows;
  w.cols = q.cols;
  w.bits = width;
  const bool grouped = grid.granularity == Granularity::kGroup && grid.group_size < q.cols;
  if (grouped) {
    w.group = grid.group_size;
    const bool small = w.group == 32 || w.group == 64;
    if (w.group != 128 && !(small && !integer_activations && width <= 4)) {
      return Refused(id, "grids of ", w.group, " columns beside ",
                     integer_activations ? "integer activations" : absl::StrCat("weights of ", width, " bits"),
                     "; expected 128", integer_activations || width > 4 ? "" : ", 64 or 32", " or one grid a row");
    }
  }
  // A symmetric grid's zero is the middle of its own width: codes move with it to the middle of the wider one.
  const int shift = grid.symmetric() ? (1 << (width - 1)) - (1 << (grid.bits - 1)) : 0;
  w.codes.resize(q.codes.size());
  for (size_t i = 0; i < q.codes.size(); ++i) w.codes[i] = static_cast<uint8_t>(q.codes[i] + shift);
  const int64_t groups = w.groups();
  for (int64_t r = 0; r < q.rows; ++r) {
    for (int64_t g = 0; g < groups; ++g) {
      const GridParams p = q.ParamsAt(r, g * std::max<int64_t>(w.group, 1));
      const uint16_t scale = FloatToF16(p.scale);
      if (F16ToFloat(scale) != p.scale) return Refused(id, "the scale ", p.scale, " is no float16 number");
      w.scales.push_back(scale);
      if (!grid.symmetric()) w.zeros.push_back(static_cast<uint8_t>(p.zero));
    }
  }
  return w;
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

}  // namespace

bool operator==(const InputFormat& a, const InputFormat& b) {
  return a.bits == b.bits && (a.bits > 8 || SameNumbers(a.quantizer, b.quantizer)) && a.divisors == b.divisors;
}

absl::StatusOr<DeviceLinear> DescribeLinear(const LinearId& id, const Linear& linear, const QuantizedMatrix* codes) {
  DeviceLinear result;
  result.id = id;
  result.rows = linear.out_features();
  result.cols = linear.in_features();
  ActivationQuantizer activation;
  bool has_bias = false;
  std::optional<QuantizedMatrix> unpacked;
  if (const auto* dense = dynamic_cast<const DenseLinear*>(&linear)) {
    result.weight = &dense->weight();
    has_bias = !dense->bias().empty();
  } else if (const auto* fake = dynamic_cast<const FakeQuantLinear*>(&linear)) {
    result.weight = &fake->weight();
    has_bias = !fake->bias().empty();
    activation = fake->activation();
  } else if (const auto* packed = dynamic_cast<const PackedLinear*>(&linear)) {
    if (!packed->patched().empty()) return Refused(id, "rows of a cache stand over it");
    has_bias = !packed->bias().empty();
    activation = packed->activation();
    EAQ_ASSIGN_OR_RETURN(unpacked, Unpack(packed->weight()));
    codes = &*unpacked;
  } else {
    return Refused(id, "a kind of linear that is not known here");
  }
  if (has_bias) return Refused(id, "it has a bias");
  EAQ_ASSIGN_OR_RETURN(result.input, FormatOf(id, activation, linear.online(), result.cols));
  if (codes == nullptr) {
    if (result.input.bits < 16) return Refused(id, "quantized activations beside weights that are not quantized");
    const bool float32 = id.role == Role::kRouter || id.role == Role::kSharedExpertGate || !AllBf16(*result.weight);
    if (float32) result.input.bits = 32;
    if (float32 && !result.input.divisors.empty()) return Refused(id, "a division before a product of float32");
    return result;
  }
  if (codes->rows != result.rows || codes->cols != result.cols) {
    return absl::InvalidArgumentError(absl::StrCat(id.ToString(), ": codes of [", codes->rows, ", ", codes->cols,
                                                   "]; expected [", result.rows, ", ", result.cols, "]"));
  }
  if (result.weight != nullptr && !(Dequantize(*codes) == *result.weight)) {
    return Refused(id, "its weights are not what its codes say");
  }
  EAQ_ASSIGN_OR_RETURN(result.codes, Canonical(id, *codes, result.input.bits < 16));
  result.weight = nullptr;
  return result;
}

absl::StatusOr<ProductFormat> ChooseProduct(absl::Span<const DeviceLinear> linears) {
  ProductFormat product;
  product.input = linears[0].input;
  std::set<int> widths;
  for (const DeviceLinear& linear : linears) {
    const std::string both = absl::StrCat(linears[0].id.ToString(), " in one launch with ", linear.id.ToString());
    if (!(linear.input == product.input) || linear.codes.has_value() != linears[0].codes.has_value()) {
      return absl::UnimplementedError(absl::StrCat(
          both, " does not run on a device: their rows are prepared in different ways (", product.input.bits, " and ",
          linear.input.bits, " bits, other grids, or other divisors); expected the same for all experts of a layer"));
    }
    if (!linear.codes) continue;
    if (linear.codes->group != linears[0].codes->group) {
      return absl::UnimplementedError(absl::StrCat(both, " does not run on a device: grids of ",
                                                   linears[0].codes->group, " and of ", linear.codes->group,
                                                   " columns"));
    }
    widths.insert(linear.codes->bits);
  }
  if (!linears[0].codes) {
    product.kind = product.input.bits == 16 ? ProductFormat::Kind::kBf16 : ProductFormat::Kind::kFloat32;
    if (product.kind == ProductFormat::Kind::kFloat32 && linears.size() > 1) {
      return Refused(linears[0].id, "weights of experts that are neither quantized nor bfloat16 numbers");
    }
    return product;
  }
  product.kind = ProductFormat::Kind::kQuantized;
  product.group = linears[0].codes->group;
  const bool integer = product.input.bits < 16;
  if (widths.size() > 1) {
    product.format = integer ? GemmFormat::kMixedA8 : GemmFormat::kMixedA16;
    const bool fits =
        integer ? product.group == 0 : *widths.rbegin() <= 4 && (product.group == 0 || product.group == 128);
    if (fits) return product;
    return Refused(linears[0].id, "experts of ", absl::StrJoin(widths, ", "), " bits in one layer with grids of ",
                   product.group, " columns (0: a row); expected ",
                   integer ? "one grid a row" : "2, 3 and 4 bits and grids of 128 columns or of a row");
  }
  switch (*widths.begin()) {
    case 8:
      product.format = GemmFormat::kW8A8;
      return product;
    case 6:
      product.format = GemmFormat::kW6A16;
      return product;
    case 4:
      product.format = !integer ? GemmFormat::kW4A16 : product.input.bits <= 4 ? GemmFormat::kW4A4 : GemmFormat::kW4A8;
      product.input.quantizer.pack4 = product.format == GemmFormat::kW4A4;
      return product;
    case 3:
      product.format = GemmFormat::kW3A16;
      return product;
    default:
      product.format = GemmFormat::kW2A16;
      return product;
  }
}

}  // namespace eaq
