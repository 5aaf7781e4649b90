#include "eaq/device/layer_image.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/image_builder.h"
#include "eaq/model/routing_policy.h"
#include "eaq/quant/quantized_attention.h"
#include "eaq/tensor/f16.h"
#include "kernels/cuda/bfloat16.h"
#include "kernels/cuda/pack_weights.h"

namespace eaq {
namespace {

using kernels::cuda::CanonicalWeights;
using kernels::cuda::ExpertMatrix;
using kernels::cuda::FragmentWeights;
using kernels::cuda::MmaOrder;

using Kind = ProductFormat::Kind;

// Rows of bfloat16 numbers, padded to whole bricks: REST's, which keeps what they leave.
std::vector<uint16_t> TakeBf16(Matrix& rest) {
  const int64_t padded = kernels::cuda::PaddedColumns(rest.cols());
  std::vector<uint16_t> rows(rest.rows() * padded, 0);
  for (int64_t r = 0; r < rest.rows(); ++r) {
    for (int64_t c = 0; c < rest.cols(); ++c) {
      const kernels::cuda::Bf16 term = kernels::cuda::ToBf16(rest(r, c));
      rows[r * padded + c] = term.bits;
      rest(r, c) -= kernels::cuda::ToFloat(term);
    }
  }
  return rows;
}

// The numbers that LINEAR multiplies by.
Matrix NumbersOf(const DeviceLinear& linear) {
  if (linear.weight != nullptr) return *linear.weight;
  const kernels::cuda::CanonicalWeights& w = *linear.codes;
  Matrix numbers(w.rows, w.cols);
  for (int64_t r = 0; r < w.rows; ++r) {
    for (int64_t c = 0; c < w.cols; ++c) {
      const int64_t grid = r * w.groups() + (w.group == 0 ? 0 : c / w.group);
      const int zero = w.zeros.empty() ? 1 << (w.bits - 1) : w.zeros[grid];
      numbers(r, c) = F16ToFloat(w.scales[grid]) * static_cast<float>(w.codes[r * w.cols + c] - zero);
    }
  }
  return numbers;
}

// A plane of codes, one matrix an expert: the launch's table.
int64_t PutCodes(absl::Span<const CanonicalWeights> experts, MmaOrder order, ImageBuilder& builder) {
  struct Places {
    int64_t codes, scales, zeros, sums;
  };
  std::vector<Places> places;
  std::vector<ExpertMatrix> table(experts.size(), ExpertMatrix{});
  for (size_t e = 0; e < experts.size(); ++e) {
    const FragmentWeights packed = PackWeights(experts[e], order);
    table[e].bits = experts[e].bits;
    places.push_back({builder.Put(packed.codes), builder.Put(packed.scales),
                      packed.zeros.empty() ? -1 : builder.Put(packed.zeros), builder.Put(packed.column_sums)});
  }
  const int64_t at = builder.Put(table);
  for (size_t e = 0; e < places.size(); ++e) {
    const auto point = [&](size_t field, int64_t target) {
      if (target >= 0) builder.Point(at, sizeof(ExpertMatrix), e, field, target);
    };
    point(offsetof(ExpertMatrix, codes), places[e].codes);
    point(offsetof(ExpertMatrix, scales), places[e].scales);
    point(offsetof(ExpertMatrix, zeros), places[e].zeros);
    point(offsetof(ExpertMatrix, column_sums), places[e].sums);
  }
  return at;
}

// LINEARS of one shape, one an expert. UPS not empty: their partners, held alike, interleaved with them.
Product PutProduct(const ProductFormat& format, RowsImage input, absl::Span<const DeviceLinear> linears,
                   absl::Span<const DeviceLinear> ups, ImageBuilder& builder) {
  Product product;
  product.format = format;
  product.input = std::move(input);
  product.experts = linears.size();
  product.rows = product.outputs = linears[0].rows;
  product.cols = linears[0].cols;
  product.swiglu = !ups.empty();
  if (!linears[0].bias.empty()) product.bias = builder.Put(linears[0].bias);
  if (format.kind == Kind::kFloat32) {
    const Matrix numbers = NumbersOf(linears[0]);
    product.weights = {builder.Put(numbers.data(), numbers.size())};
    return product;
  }
  if (format.kind == Kind::kBf16) {
    std::vector<Matrix> rest;
    for (const DeviceLinear& linear : linears) rest.push_back(NumbersOf(linear));
    for (int plane = 0; plane < format.planes; ++plane) {
      std::vector<int64_t> rows;
      for (Matrix& numbers : rest) rows.push_back(builder.Put(TakeBf16(numbers)));
      const int64_t table = builder.Put(rows);
      for (size_t e = 0; e < rows.size(); ++e) builder.Point(table, sizeof(uint64_t), e, 0, rows[e]);
      product.weights.push_back(table);
      if (rows.size() == 1) product.matrices.push_back(rows[0]);
    }
    return product;
  }
  std::vector<std::vector<CanonicalWeights>> planes(format.planes);
  for (size_t e = 0; e < linears.size(); ++e) {
    std::vector<CanonicalWeights> held = HeldCodes(*linears[e].codes, format);
    if (product.swiglu) {
      held[0] = kernels::cuda::InterleaveGateUp(held[0], HeldCodes(*ups[e].codes, format)[0]);
      product.rows = held[0].rows;
    }
    for (int plane = 0; plane < format.planes; ++plane) planes[plane].push_back(std::move(held[plane]));
  }
  const MmaOrder order = kernels::cuda::OrderOf(format.format);
  for (const auto& experts : planes) product.weights.push_back(PutCodes(experts, order, builder));
  return product;
}

// Whether gate and up, of expert e each, can be one matrix.
bool Interleave(const ProductFormat& of_gates, const ProductFormat& of_ups, absl::Span<const DeviceLinear> gates,
                absl::Span<const DeviceLinear> ups) {
  if (of_gates.kind != Kind::kQuantized || of_ups.kind != Kind::kQuantized || of_gates.planes > 1 ||
      of_ups.planes > 1 || of_gates.integer != of_ups.integer || of_gates.group != of_ups.group) {
    return false;
  }
  for (size_t e = 0; e < gates.size(); ++e) {
    const CanonicalWeights gate = HeldCodes(*gates[e].codes, of_gates)[0], up = HeldCodes(*ups[e].codes, of_ups)[0];
    if (gate.bits != up.bits || gate.zeros.empty() != up.zeros.empty()) return false;
  }
  return true;
}

class LayerWalk {
 public:
  LayerWalk(const DecoderLayer& layer, const CodesOf& codes, const ImageOptions& options, LayerImage* image)
      : layer_(layer),
        codes_(codes),
        builder_(image->bytes, image->pointers),
        rows_(std::clamp(options.row_terms, 1, kMostRowTerms), builder_) {}

  absl::StatusOr<DeviceLinear> Describe(Role role, int expert = -1) const {
    const LinearId id{layer_.norms().layer, role, expert};
    return DescribeLinear(id, *layer_.linears().at(id), codes_(id));
  }
  absl::StatusOr<Product> Single(Role role) {
    EAQ_ASSIGN_OR_RETURN(const DeviceLinear linear, Describe(role));
    EAQ_ASSIGN_OR_RETURN(const ProductFormat format, ChooseProduct({&linear, 1}, false));
    EAQ_ASSIGN_OR_RETURN(RowsImage rows, rows_.Put(format, {&linear, 1}));
    return PutProduct(format, std::move(rows), {&linear, 1}, {}, builder_);
  }
  // Of EXPERTS, or (none) of the one that is no expert's.
  absl::StatusOr<SwiGluImage> SwiGlu(Role gate, Role up, Role down, absl::Span<const int32_t> experts) {
    std::vector<DeviceLinear> gates, ups, downs;
    SwiGluImage image;
    std::vector<int32_t> list(experts.begin(), experts.end());
    if (list.empty()) list.push_back(-1);
    for (const int32_t e : list) {
      for (auto [role, linears, ids] :
           {std::make_tuple(gate, &gates, &image.gates), std::make_tuple(up, &ups, &image.ups),
            std::make_tuple(down, &downs, &image.downs)}) {
        EAQ_ASSIGN_OR_RETURN(DeviceLinear linear, Describe(role, e));
        ids->push_back(linear.id);
        linears->push_back(std::move(linear));
      }
    }
    image.width = gates[0].rows;
    EAQ_ASSIGN_OR_RETURN(const ProductFormat of_gates, ChooseProduct(gates, true));
    EAQ_ASSIGN_OR_RETURN(const ProductFormat of_ups, ChooseProduct(ups, true));
    EAQ_ASSIGN_OR_RETURN(const ProductFormat of_downs, ChooseProduct(downs, true));
    EAQ_ASSIGN_OR_RETURN(RowsImage to_gates, rows_.Put(of_gates, gates));
    EAQ_ASSIGN_OR_RETURN(RowsImage to_ups, rows_.Put(of_ups, ups));
    EAQ_ASSIGN_OR_RETURN(RowsImage to_downs, rows_.Put(of_downs, downs));
    // silu(gate) * up needs whole sums.
    const bool together = to_gates.terms == 1 && SameRows(to_gates, to_ups) && Interleave(of_gates, of_ups, gates, ups);
    image.gate = PutProduct(of_gates, std::move(to_gates), gates,
                            together ? absl::MakeConstSpan(ups) : absl::Span<const DeviceLinear>(), builder_);
    if (!together) image.up = PutProduct(of_ups, std::move(to_ups), ups, {}, builder_);
    image.down = PutProduct(of_downs, std::move(to_downs), downs, {}, builder_);
    return image;
  }
  // Of queries and keys after their rotation.
  absl::StatusOr<StepImage> Hadamard(int64_t block) {
    const OnlineTransform turn{{OnlineStep::Hadamard(block)}};
    return rows_.Step(turn, LinearId{layer_.norms().layer, Role::kQ});
  }
  int64_t PutKept(const std::vector<int32_t>& kept) { return builder_.Put(kept); }
  int64_t PutNorm(const std::vector<float>& weight) { return weight.empty() ? -1 : builder_.Put(weight); }

 private:
  const DecoderLayer& layer_;
  const CodesOf& codes_;
  ImageBuilder builder_;
  RowsWriter rows_;
};

// What a layer may not have, beside its linears.
absl::Status CheckRuns(const DecoderLayer& layer) {
  const ModelConfig& config = layer.config();
  const LayerParams& norms = layer.norms();
  const auto refused = [&](const auto&... words) {
    return absl::UnimplementedError(absl::StrCat("layer ", norms.layer, " does not run on a device: ", words...));
  };
  if (config.clip_qkv) return refused("queries, keys and values are clipped at ", *config.clip_qkv);
  if (config.head_dim != 32 && config.head_dim != 64 && config.head_dim != 128) {
    return refused("heads of ", config.head_dim, " channels; expected 32, 64 or 128");
  }
  if (config.IsMoe(norms.layer) && (config.num_experts > kernels::cuda::kMaxExperts || config.experts_per_token > 32)) {
    return refused(config.experts_per_token, " of ", config.num_experts, " experts a token; expected at most 32 of ",
                   kernels::cuda::kMaxExperts);
  }
  if (layer.operands() == nullptr) return absl::OkStatus();
  const auto* operands = dynamic_cast<const QuantizedAttention*>(layer.operands());
  if (operands == nullptr) return refused("a kind of attention operands that is not known here");
  for (const ActivationQuantizer* quantizer : {&operands->keys(), &operands->values()}) {
    const GridSpec& spec = quantizer->spec();
    if (quantizer->identity()) continue;
    // Heads are rounded one by one, so that a grid a token is one a head.
    const bool smaller = spec.granularity == Granularity::kGroup && spec.group_size < config.head_dim;
    if (quantizer->is_static() || spec.kind == GridKind::kBinary || smaller) {
      return refused("attention operands on a ", quantizer->ToString(), " grid; expected a dynamic one a head");
    }
  }
  return absl::OkStatus();
}

}  // namespace

void PlaceImage(const LayerImage& image, const uint8_t* base, uint8_t* to) {
  std::memcpy(to, image.bytes.data(), image.bytes.size());
  for (const int64_t at : image.pointers) {
    uint64_t value;
    std::memcpy(&value, to + at, sizeof value);
    value += reinterpret_cast<uint64_t>(base);
    std::memcpy(to + at, &value, sizeof value);
  }
}

absl::StatusOr<LayerImage> MakeLayerImage(const DecoderLayer& layer, const CodesOf& codes,
                                          const ImageOptions& options) {
  EAQ_RETURN_IF_ERROR(CheckRuns(layer));
  const ModelConfig& config = layer.config();
  const LayerParams& norms = layer.norms();
  LayerImage image;
  LayerPlan& plan = image.plan;
  plan.layer = norms.layer;
  LayerWalk walk(layer, codes, options, &image);
  plan.input_norm = walk.PutNorm(norms.input_norm);
  plan.post_norm = walk.PutNorm(norms.post_norm);
  plan.q_norm = walk.PutNorm(norms.q_norm);
  plan.k_norm = walk.PutNorm(norms.k_norm);
  EAQ_ASSIGN_OR_RETURN(plan.q, walk.Single(Role::kQ));
  EAQ_ASSIGN_OR_RETURN(plan.k, walk.Single(Role::kK));
  EAQ_ASSIGN_OR_RETURN(plan.v, walk.Single(Role::kV));
  EAQ_ASSIGN_OR_RETURN(plan.o, walk.Single(Role::kO));
  if (norms.qk_hadamard > 0) {
    EAQ_ASSIGN_OR_RETURN(plan.turn_keys, walk.Hadamard(norms.qk_hadamard));
  }
  if (const auto* operands = dynamic_cast<const QuantizedAttention*>(layer.operands()); operands != nullptr) {
    const LinearId q{norms.layer, Role::kQ};
    if (!operands->keys().identity()) {
      EAQ_ASSIGN_OR_RETURN(plan.keys, FormatOf(q, operands->keys(), nullptr, config.head_dim));
    }
    if (!operands->values().identity()) {
      EAQ_ASSIGN_OR_RETURN(plan.values, FormatOf(q, operands->values(), nullptr, config.head_dim));
    }
  }
  if (!config.IsMoe(norms.layer)) {
    EAQ_ASSIGN_OR_RETURN(plan.experts, walk.SwiGlu(Role::kGate, Role::kUp, Role::kDown, {}));
    return image;
  }
  EAQ_ASSIGN_OR_RETURN(plan.router, walk.Single(Role::kRouter));
  plan.route.k = static_cast<int>(config.experts_per_token);
  plan.route.sigmoid = config.router_score == RouterScore::kSigmoid;
  plan.route.renormalise = config.norm_topk_prob;
  plan.route.scale = static_cast<float>(config.routed_scaling);
  std::vector<int32_t> experts(config.num_experts);
  std::iota(experts.begin(), experts.end(), 0);
  if (norms.routing != nullptr && !norms.routing->kept.empty()) {
    plan.kept = experts = norms.routing->kept;
    plan.kept_table = walk.PutKept(plan.kept);
  }
  if (norms.routing != nullptr) plan.drop = norms.routing->drop;
  EAQ_ASSIGN_OR_RETURN(plan.experts, walk.SwiGlu(Role::kGate, Role::kUp, Role::kDown, experts));
  if (config.shared_width > 0) {
    EAQ_ASSIGN_OR_RETURN(plan.shared, walk.SwiGlu(Role::kSharedGate, Role::kSharedUp, Role::kSharedDown, {}));
  }
  if (plan.shared && config.shared_expert_gated) {
    EAQ_ASSIGN_OR_RETURN(plan.shared_gate, walk.Single(Role::kSharedExpertGate));
  }
  return image;
}

}  // namespace eaq
