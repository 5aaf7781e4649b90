#include "eaq/device/testing.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/activation_quant.h"
#include "eaq/quant/fake_quant.h"
#include "eaq/quant/packing.h"
#include "eaq/quant/quantized_linear.h"
#include "kernels/cuda/bfloat16.h"
#include "kernels/device/open.h"

namespace eaq {

ModelConfig SmallConfig() {
  ModelConfig config = TinyConfig();
  config.hidden_size = 64;
  config.head_dim = 32;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.expert_width = 40;
  return config;
}

absl::StatusOr<std::unique_ptr<kernels::Backend>> CheckedBackend() {
  std::unique_ptr<kernels::Backend> backend;
  EAQ_RETURN_IF_ERROR(AsStatus(kernels::OpenBackend(kernels::LinkedDevice(), &backend)));
  backend->device()->set_checked(true);
  return backend;
}

namespace {

void RoundToBf16(Matrix& m) {
  for (int64_t i = 0; i < m.size(); ++i) {
    m.data()[i] = kernels::cuda::ToFloat(kernels::cuda::ToBf16(m.data()[i]));
  }
}

// ONLINE first, then rows are rounded; LINEAR has no transform of its own.
class Bf16RowsLinear : public Linear {
 public:
  Bf16RowsLinear(std::shared_ptr<const Linear> linear, std::shared_ptr<const OnlineTransform> online)
      : linear_(std::move(linear)), online_(std::move(online)) {}
  const OnlineTransform* online() const override { return online_.get(); }
  int64_t out_features() const override { return linear_->out_features(); }
  int64_t in_features() const override { return linear_->in_features(); }
  void Forward(ConstMatrixView x, MatrixView y) const override {
    Matrix rounded(x);
    if (online_ != nullptr) online_->ApplyToInput(rounded.view());
    RoundToBf16(rounded);
    linear_->Forward(rounded.const_view(), y);
  }

 private:
  std::shared_ptr<const Linear> linear_;
  std::shared_ptr<const OnlineTransform> online_;
};

// What LINEAR makes of its rows before the product.
Matrix Rounded(const Linear& linear, ConstMatrixView x) {
  Matrix rows(x);
  if (linear.online() != nullptr) linear.online()->ApplyToInput(rows.view());
  if (dynamic_cast<const Bf16RowsLinear*>(&linear) != nullptr) RoundToBf16(rows);
  if (const auto* packed = dynamic_cast<const PackedLinear*>(&linear)) packed->activation().Apply(rows.view());
  if (const auto* fake = dynamic_cast<const FakeQuantLinear*>(&linear)) fake->activation().Apply(rows.view());
  return rows;
}

// Whether LINEAR rounds its rows at all.
bool Rounds(const Linear& linear) {
  const auto* packed = dynamic_cast<const PackedLinear*>(&linear);
  const auto* fake = dynamic_cast<const FakeQuantLinear*>(&linear);
  return dynamic_cast<const Bf16RowsLinear*>(&linear) != nullptr ||
         (packed != nullptr && !packed->activation().identity()) || (fake != nullptr && !fake->activation().identity());
}

// What a layer did with one sequence: inputs of linears by token, and the choice of experts.
class LayerRecorder : public LayerObserver {
 public:
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    for (int64_t r = 0; r < x.rows; ++r) {
      inputs[id][tokens.empty() ? static_cast<int32_t>(r) : tokens[r]] = Matrix(x.Rows(r, 1));
    }
  }
  void OnRouter(int, ConstMatrixView scores, absl::Span<const int32_t> experts, absl::Span<const float>) override {
    logits = Matrix(scores);
    chosen.assign(experts.begin(), experts.end());
  }

  std::map<LinearId, std::map<int32_t, Matrix>> inputs;
  Matrix logits;
  std::vector<int32_t> chosen;
};

// Largest |a - b| over the largest |a| of a row.
double Difference(const float* a, const float* b, int64_t n) {
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max<double>(largest, std::fabs(a[i]));
    difference = std::max(difference, std::fabs(static_cast<double>(a[i]) - b[i]));
  }
  return largest == 0 ? difference : difference / largest;
}

// Where a sequence's device and CPU runs took different sides: the rows that this reaches.
class TieFinder {
 public:
  TieFinder(const DecoderLayer& layer, const LayerRecorder& cpu, const LayerRecorder& device, int64_t tokens,
            LayerAgreement& agreement)
      : layer_(layer), cpu_(cpu), device_(device), reached_(tokens, false), agreement_(agreement) {}

  std::vector<bool> Find() {
    const int layer = layer_.norms().layer;
    // In the order in which numbers depend on each other; a row that is reached already explains what follows in it.
    for (const Role role : {Role::kQ, Role::kK, Role::kV}) Linear({layer, role}, true);
    Linear({layer, Role::kO}, false);
    if (cpu_.inputs.count({layer, Role::kRouter}) > 0) Linear({layer, Role::kRouter}, false);
    Choices();
    for (const auto& [id, rows] : cpu_.inputs) {
      if (id.role == Role::kGate || id.role == Role::kUp || id.role == Role::kSharedGate ||
          id.role == Role::kSharedUp || id.role == Role::kSharedExpertGate) {
        Linear(id, false);
      }
    }
    for (const auto& [id, rows] : cpu_.inputs) {
      if (id.role == Role::kDown || id.role == Role::kSharedDown) Linear(id, false);
    }
    return reached_;
  }

 private:
  void Linear(const LinearId& id, bool attended) {
    const eaq::Linear& linear = *layer_.linears().at(id);
    const auto of_device = device_.inputs.find(id);
    if (of_device != device_.inputs.end()) {
      for (const auto& [token, row] : of_device->second) {
        if (reached_[token] || cpu_.inputs.at(id).count(token) > 0) continue;
        agreement_.unexplained.push_back(absl::StrCat(id.ToString(), ", token ", token, ": read on the device alone"));
      }
    }
    for (const auto& [token, want] : cpu_.inputs.at(id)) {
      if (reached_[token]) continue;
      if (of_device == device_.inputs.end() || of_device->second.count(token) == 0) {
        agreement_.unexplained.push_back(absl::StrCat(id.ToString(), ", token ", token, ": not read on the device"));
        continue;
      }
      const Matrix& got = of_device->second.at(token);
      const double noise = Difference(want.data(), got.data(), want.size());
      if (noise > kLayerNoise) {
        agreement_.unexplained.push_back(absl::StrCat(id.ToString(), ", token ", token, ": inputs differ by ", noise));
      }
      if (!Rounds(linear)) continue;
      const Matrix rounded_want = Rounded(linear, want.const_view()), rounded_got = Rounded(linear, got.const_view());
      int64_t ties = 0;
      for (int64_t i = 0; i < want.size(); ++i) ties += OnOtherSide(rounded_want.data()[i], rounded_got.data()[i]);
      if (ties == 0) continue;
      agreement_.ties += ties;
      const int64_t last = attended ? static_cast<int64_t>(reached_.size()) : token + 1;
      for (int64_t t = token; t < last; ++t) reached_[t] = true;
    }
  }
  // More apart than float32's noise: a step of the grid. (A dynamic scale is noisy itself.)
  static bool OnOtherSide(float want, float got) {
    return std::fabs(static_cast<double>(want) - got) > kLayerNoise * std::max(std::fabs(want), std::fabs(got)) + 1e-30;
  }
  void Choices() {
    const int64_t tokens = reached_.size(), k = cpu_.chosen.size() / std::max<int64_t>(1, tokens);
    for (int64_t t = 0; t < tokens && k > 0; ++t) {
      if (reached_[t] ||
          std::equal(cpu_.chosen.begin() + t * k, cpu_.chosen.begin() + (t + 1) * k, device_.chosen.begin() + t * k)) {
        continue;
      }
      ++agreement_.choice_ties;
      reached_[t] = true;
      const double noise = Difference(cpu_.logits.row(t), device_.logits.row(t), cpu_.logits.cols());
      if (noise > kLayerNoise) {
        agreement_.unexplained.push_back(absl::StrCat("token ", t, " chose other experts: logits differ by ", noise));
      }
    }
  }

  const DecoderLayer& layer_;
  const LayerRecorder &cpu_, &device_;
  std::vector<bool> reached_;
  LayerAgreement& agreement_;
};

GridSpec Grid(int bits, GridKind kind = GridKind::kAsymmetric, int64_t group = 0) {
  GridSpec grid;
  grid.bits = bits;
  grid.kind = kind;
  grid.granularity = group == 0 ? Granularity::kChannel : Granularity::kGroup;
  grid.group_size = group;
  return grid;
}

}  // namespace

double RelativeDistance(const float* got, const float* want, int64_t n) {
  double distance = 0, norm = 0;
  for (int64_t i = 0; i < n; ++i) {
    distance += std::pow(static_cast<double>(got[i]) - want[i], 2);
    norm += std::pow(static_cast<double>(want[i]), 2);
  }
  return std::sqrt(distance / norm);
}

std::vector<DeviceFormat> DeviceFormats() {
  const GridSpec none;
  return {{"bf16", none, none, {}},
          {"W8A8", Grid(8), Grid(8), {}},
          {"W4A8 g128", Grid(4, GridKind::kAsymmetric, 128), Grid(8), {}},
          {"W4A4", Grid(4, GridKind::kSymmetricFullRange), Grid(4), {}},
          {"W4A16 g32", Grid(4, GridKind::kAsymmetric, 32), none, {}},
          {"W3A16 g128", Grid(3, GridKind::kSymmetricRestricted, 128), none, {}},
          {"W2A16 g64", Grid(2, GridKind::kAsymmetric, 64), none, {}},
          {"mixed W2-4A16", Grid(4), none, {2, 3, 4}}};
}

absl::StatusOr<std::unique_ptr<DecoderLayer>> LayerInFormat(const ModelConfig& config, const LayerParams& params,
                                                            const DeviceFormat& format, bool bf16_rows) {
  DecoderLayer::Linears linears;
  for (const auto& [id, linear] : params.linears) {
    std::shared_ptr<const Linear>& made = linears[id];
    const bool routing = id.role == Role::kRouter || id.role == Role::kSharedExpertGate;
    const bool rounds_rows = bf16_rows && !routing && !format.activations.quantized();
    const auto online = rounds_rows ? nullptr : linear.online;
    EAQ_ASSIGN_OR_RETURN(ActivationQuantizer activation, ActivationQuantizer::Dynamic(format.activations));
    if (routing) {
      made = std::make_shared<DenseLinear>(linear.weight, linear.bias, online);
    } else if (!format.weights.quantized()) {
      made = std::make_shared<FakeQuantLinear>(linear.weight, linear.bias, std::move(activation), online);
    } else {
      GridSpec grid = format.weights;
      if (id.expert >= 0 && !format.mixed.empty()) {
        grid = WithBits(grid, format.mixed[id.expert % format.mixed.size()]);
      }
      EAQ_ASSIGN_OR_RETURN(const QuantizedMatrix rounded, QuantizeNearest(linear.weight.view(), grid));
      EAQ_ASSIGN_OR_RETURN(PackedMatrix packed, Pack(rounded));
      EAQ_ASSIGN_OR_RETURN(made, PackedLinear::Create(std::move(packed), linear.bias, std::move(activation), online));
    }
    if (rounds_rows) made = std::make_shared<Bf16RowsLinear>(made, linear.online);
  }
  return DecoderLayer::Create(config, params, std::move(linears));
}

absl::StatusOr<LayerAgreement> CompareLayer(const DecoderLayer& cpu, const LayerImage& image, ConstMatrixView hidden,
                                            absl::Span<const int64_t> lengths, DeviceRunner& runner) {
  std::vector<LayerRecorder> on_cpu(lengths.size()), on_device(lengths.size());
  std::vector<LayerObserver*> observers;
  for (LayerRecorder& recorder : on_device) observers.push_back(&recorder);
  Matrix want(hidden), got(hidden);
  int64_t first = 0;
  for (size_t s = 0; s < lengths.size(); first += lengths[s++]) {
    cpu.Forward(want.view().Rows(first, lengths[s]), &on_cpu[s]);
  }
  EAQ_RETURN_IF_ERROR(runner.Load(image));
  EAQ_RETURN_IF_ERROR(runner.NextLayer());
  EAQ_RETURN_IF_ERROR(runner.Forward(got.view(), lengths, observers));
  LayerAgreement agreement;
  first = 0;
  for (size_t s = 0; s < lengths.size(); first += lengths[s++]) {
    const std::vector<bool> reached = TieFinder(cpu, on_cpu[s], on_device[s], lengths[s], agreement).Find();
    for (int64_t t = 0; t < lengths[s]; ++t) {
      ++agreement.rows;
      if (reached[t]) continue;
      ++agreement.unaffected;
      const double distance = RelativeDistance(got.row(first + t), want.row(first + t), hidden.cols);
      agreement.worst = std::isnan(distance) ? distance : std::max(agreement.worst, distance);
    }
  }
  return agreement;
}

GridAgreement CompareGrids(ConstMatrixView w, const QuantizedMatrix& cpu, const QuantizedMatrix& device,
                           const GridRange& range) {
  GridAgreement agreement;
  if (cpu.grid != device.grid || cpu.params.size() != device.params.size()) {
    agreement.unexplained.push_back(
        absl::StrCat(device.params.size(), " grids on the device, ", cpu.params.size(), " on the CPU"));
    return agreement;
  }
  const GridSpec& grid = cpu.grid;
  const bool power24 = range.clip && range.clip->norm == ClipNorm::kL24;
  const bool searched = range.clip || (range.ratio && range.ratio->search_from);
  const int64_t groups = grid.GroupsPerRow(w.cols);
  for (size_t g = 0; g < cpu.params.size(); ++g) {
    ++agreement.grids;
    if (cpu.params[g] == device.params[g]) continue;
    // The weights of this grid.
    std::vector<float> values;
    for (int64_t r = 0; r < w.rows; ++r) {
      for (int64_t c = 0; c < w.cols; ++c) {
        const int64_t of = grid.granularity == Granularity::kTensor    ? 0
                           : grid.granularity == Granularity::kChannel ? r
                                                                       : r * groups + c / grid.group_size;
        if (of == static_cast<int64_t>(g)) values.push_back(w(r, c));
      }
    }
    float unit = 0;
    for (const float v : values) unit = std::max(unit, std::fabs(v));
    const auto error = [&](GridParams p) {
      double sum = 0;
      for (const float v : values) {
        const double code = std::clamp(double{std::nearbyint(v / p.scale)} + p.zero, 0.0, double(grid.max_code()));
        // As both round it: to the grid's value, and the difference from that, in float32.
        const float e = (p.scale * static_cast<float>(code - p.zero) - v) * (1.0f / unit);
        sum += std::pow(std::fabs(double{e}), power24 ? 2.4 : 2.0);
      }
      return sum;
    };
    const double a = error(cpu.params[g]), b = error(device.params[g]);
    if (searched && std::fabs(a - b) <= 6e-6 * std::min(a, b)) {
      ++agreement.ties;
      continue;
    }
    agreement.unexplained.push_back(absl::StrCat("grid ", g, ": scale ", device.params[g].scale, " zero ",
                                                 device.params[g].zero, ", error ", b, "; the CPU's ",
                                                 cpu.params[g].scale, " ", cpu.params[g].zero, ", error ", a));
  }
  return agreement;
}

}  // namespace eaq
