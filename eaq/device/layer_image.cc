#include "eaq/device/layer_image.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/quant/quantized_attention.h"
#include "kernels/cuda/pack_weights.h"

namespace eaq {
namespace {

using kernels::cuda::ExpertMatrix;
using kernels::cuda::FragmentWeights;
using kernels::cuda::MmaOrder;

constexpr int64_t kAlignment = 256;

class Builder {
 public:
  explicit Builder(LayerImage* image) : image_(*image) {}

  template <typename T>
  int64_t Put(const T* values, size_t count) {
    std::vector<uint8_t>& bytes = image_.bytes;
    const int64_t at = static_cast<int64_t>((bytes.size() + kAlignment - 1) / kAlignment * kAlignment);
    bytes.resize(at + count * sizeof(T));
    if (count > 0) std::memcpy(bytes.data() + at, values, count * sizeof(T));
    return at;
  }
  template <typename T>
  int64_t Put(const std::vector<T>& values) {
    return Put(values.data(), values.size());
  }
  // The member at FIELD bytes into entry I of a table of ENTRY bytes each at TABLE points to what lies at TARGET.
  void Point(int64_t table, size_t entry, size_t i, size_t field, int64_t target) {
    const int64_t at = table + static_cast<int64_t>(i * entry + field);
    const uint64_t offset = static_cast<uint64_t>(target);
    std::memcpy(image_.bytes.data() + at, &offset, sizeof offset);
    image_.pointers.push_back(at);
  }

 private:
  LayerImage& image_;
};

// Rows of bfloat16 numbers, padded to whole bricks.
std::vector<uint16_t> PaddedBf16(const Matrix& weight) {
  const int64_t padded = kernels::cuda::PaddedColumns(weight.cols());
  std::vector<uint16_t> rows(weight.rows() * padded, 0);
  for (int64_t r = 0; r < weight.rows(); ++r) {
    for (int64_t c = 0; c < weight.cols(); ++c) {
      uint32_t bits;
      std::memcpy(&bits, weight.row(r) + c, sizeof bits);
      rows[r * padded + c] = static_cast<uint16_t>(bits >> 16);
    }
  }
  return rows;
}

// LINEARS of one shape, one an expert. UPS not empty: their partners, quantized alike, interleaved with them.
Product PutProduct(const ProductFormat& format, absl::Span<const DeviceLinear> linears,
                   absl::Span<const DeviceLinear> ups, Builder& builder) {
  Product product;
  product.format = format;
  product.experts = linears.size();
  product.rows = product.outputs = linears[0].rows;
  product.cols = linears[0].cols;
  product.swiglu = !ups.empty();
  if (!format.input.divisors.empty()) product.divisors = builder.Put(format.input.divisors);
  if (format.kind == ProductFormat::Kind::kFloat32) {
    product.weights = builder.Put(linears[0].weight->data(), linears[0].weight->size());
    return product;
  }
  if (format.kind == ProductFormat::Kind::kBf16) {
    std::vector<int64_t> rows;
    for (const DeviceLinear& linear : linears) rows.push_back(builder.Put(PaddedBf16(*linear.weight)));
    product.weights = builder.Put(rows);
    for (size_t e = 0; e < rows.size(); ++e) builder.Point(product.weights, sizeof(uint64_t), e, 0, rows[e]);
    return product;
  }
  struct Places {
    int64_t codes, scales, zeros, sums;
  };
  std::vector<Places> places;
  std::vector<ExpertMatrix> table(linears.size(), ExpertMatrix{});
  const MmaOrder order = format.input.bits < 16 ? MmaOrder::kInt8 : MmaOrder::kBf16;
  for (size_t e = 0; e < linears.size(); ++e) {
    FragmentWeights packed;
    if (product.swiglu) {
      const auto both = kernels::cuda::InterleaveGateUp(*linears[e].codes, *ups[e].codes);
      product.rows = both.rows;
      packed = PackWeights(both, order);
    } else {
      packed = PackWeights(*linears[e].codes, order);
    }
    table[e].bits = linears[e].codes->bits;
    places.push_back({builder.Put(packed.codes), builder.Put(packed.scales),
                      packed.zeros.empty() ? -1 : builder.Put(packed.zeros), builder.Put(packed.column_sums)});
  }
  product.weights = builder.Put(table);
  for (size_t e = 0; e < places.size(); ++e) {
    const auto point = [&](size_t field, int64_t target) {
      if (target >= 0) builder.Point(product.weights, sizeof(ExpertMatrix), e, field, target);
    };
    point(offsetof(ExpertMatrix, codes), places[e].codes);
    point(offsetof(ExpertMatrix, scales), places[e].scales);
    point(offsetof(ExpertMatrix, zeros), places[e].zeros);
    point(offsetof(ExpertMatrix, column_sums), places[e].sums);
  }
  return product;
}

class LayerWalk {
 public:
  LayerWalk(const DecoderLayer& layer, const CodesOf& codes, LayerImage* image)
      : layer_(layer), codes_(codes), builder_(image) {}

  absl::StatusOr<DeviceLinear> Describe(Role role, int expert = -1) const {
    const LinearId id{layer_.norms().layer, role, expert};
    return DescribeLinear(id, *layer_.linears().at(id), codes_(id));
  }
  absl::StatusOr<Product> Single(Role role) {
    EAQ_ASSIGN_OR_RETURN(const DeviceLinear linear, Describe(role));
    EAQ_ASSIGN_OR_RETURN(const ProductFormat format, ChooseProduct({&linear, 1}));
    return PutProduct(format, {&linear, 1}, {}, builder_);
  }
  // Of experts 0 .. COUNT - 1, or of the one that is no expert's (COUNT 0).
  absl::StatusOr<SwiGluImage> SwiGlu(Role gate, Role up, Role down, int count) {
    std::vector<DeviceLinear> gates, ups, downs;
    SwiGluImage image;
    for (int e = count == 0 ? -1 : 0; e < count; ++e) {
      for (auto [role, list, ids] : {std::make_tuple(gate, &gates, &image.gates), std::make_tuple(up, &ups, &image.ups),
                                     std::make_tuple(down, &downs, &image.downs)}) {
        EAQ_ASSIGN_OR_RETURN(DeviceLinear linear, Describe(role, e));
        ids->push_back(linear.id);
        list->push_back(std::move(linear));
      }
    }
    image.width = gates[0].rows;
    EAQ_ASSIGN_OR_RETURN(const ProductFormat of_gates, ChooseProduct(gates));
    EAQ_ASSIGN_OR_RETURN(const ProductFormat of_ups, ChooseProduct(ups));
    EAQ_ASSIGN_OR_RETURN(const ProductFormat of_downs, ChooseProduct(downs));
    bool together = of_gates.kind == ProductFormat::Kind::kQuantized && of_gates.input == of_ups.input;
    for (size_t e = 0; e < gates.size() && together; ++e) {
      together = gates[e].codes && ups[e].codes && gates[e].codes->bits == ups[e].codes->bits &&
                 gates[e].codes->group == ups[e].codes->group &&
                 gates[e].codes->zeros.empty() == ups[e].codes->zeros.empty();
    }
    image.gate =
        PutProduct(of_gates, gates, together ? absl::MakeConstSpan(ups) : absl::Span<const DeviceLinear>(), builder_);
    if (!together) image.up = PutProduct(of_ups, ups, {}, builder_);
    image.down = PutProduct(of_downs, downs, {}, builder_);
    return image;
  }
  int64_t PutNorm(const std::vector<float>& weight) { return weight.empty() ? -1 : builder_.Put(weight); }

 private:
  const DecoderLayer& layer_;
  const CodesOf& codes_;
  Builder builder_;
};

// What a layer may not have, beside its linears.
absl::Status CheckRuns(const DecoderLayer& layer) {
  const ModelConfig& config = layer.config();
  const LayerParams& norms = layer.norms();
  const auto refused = [&](const auto&... words) {
    return absl::UnimplementedError(absl::StrCat("layer ", norms.layer, " does not run on a device: ", words...));
  };
  if (norms.qk_hadamard > 0) return refused("queries and keys go through Hadamard blocks of ", norms.qk_hadamard);
  if (norms.routing != nullptr) return refused("it has a routing policy (pruned or dropped experts)");
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
    if (quantizer->is_static() || spec.kind != GridKind::kAsymmetric || spec.group_size != config.head_dim) {
      return refused("attention operands on a ", quantizer->ToString(),
                     " grid; expected asymmetric, dynamic, a head's");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<LayerImage> MakeLayerImage(const DecoderLayer& layer, const CodesOf& codes) {
  EAQ_RETURN_IF_ERROR(CheckRuns(layer));
  const ModelConfig& config = layer.config();
  const LayerParams& norms = layer.norms();
  LayerImage image;
  LayerPlan& plan = image.plan;
  plan.layer = norms.layer;
  LayerWalk walk(layer, codes, &image);
  plan.input_norm = walk.PutNorm(norms.input_norm);
  plan.post_norm = walk.PutNorm(norms.post_norm);
  plan.q_norm = walk.PutNorm(norms.q_norm);
  plan.k_norm = walk.PutNorm(norms.k_norm);
  EAQ_ASSIGN_OR_RETURN(plan.q, walk.Single(Role::kQ));
  EAQ_ASSIGN_OR_RETURN(plan.k, walk.Single(Role::kK));
  EAQ_ASSIGN_OR_RETURN(plan.v, walk.Single(Role::kV));
  EAQ_ASSIGN_OR_RETURN(plan.o, walk.Single(Role::kO));
  if (const auto* operands = dynamic_cast<const QuantizedAttention*>(layer.operands()); operands != nullptr) {
    if (!operands->keys().identity()) plan.keys = operands->keys();
    if (!operands->values().identity()) plan.values = operands->values();
  }
  if (!config.IsMoe(norms.layer)) {
    EAQ_ASSIGN_OR_RETURN(plan.experts, walk.SwiGlu(Role::kGate, Role::kUp, Role::kDown, 0));
    return image;
  }
  EAQ_ASSIGN_OR_RETURN(plan.router, walk.Single(Role::kRouter));
  plan.route.k = static_cast<int>(config.experts_per_token);
  plan.route.sigmoid = config.router_score == RouterScore::kSigmoid;
  plan.route.renormalise = config.norm_topk_prob;
  plan.route.scale = static_cast<float>(config.routed_scaling);
  EAQ_ASSIGN_OR_RETURN(plan.experts,
                       walk.SwiGlu(Role::kGate, Role::kUp, Role::kDown, static_cast<int>(config.num_experts)));
  if (config.shared_width > 0) {
    EAQ_ASSIGN_OR_RETURN(plan.shared, walk.SwiGlu(Role::kSharedGate, Role::kSharedUp, Role::kSharedDown, 0));
  }
  if (plan.shared && config.shared_expert_gated) {
    EAQ_ASSIGN_OR_RETURN(plan.shared_gate, walk.Single(Role::kSharedExpertGate));
    if (plan.shared->down.format.kind == ProductFormat::Kind::kFloat32) {
      return absl::UnimplementedError(absl::StrCat(plan.shared->downs[0].ToString(),
                                                   " does not run on a device: a gated ",
                                                   "expert's weights that are neither quantized nor bfloat16 numbers"));
    }
  }
  return image;
}

}  // namespace eaq
