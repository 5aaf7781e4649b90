// `eaq inspect`: what a checkpoint is made of.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/model/linear_shapes.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace eaq {
namespace {

// Of the weights of one role in one layer (all experts together).
struct WeightStats {
  int64_t count = 0;
  double sum_squares = 0;
  double largest = 0;
  int64_t not_finite = 0;
  // Largest |w| of an output row over the root mean square of that row, its greatest value: how far an outlier
  // stretches a per-channel grid.
  double row_peak = 0;
};

void Accumulate(const Matrix& weight, WeightStats* stats) {
  for (int64_t r = 0; r < weight.rows(); ++r) {
    double squares = 0, largest = 0;
    for (int64_t c = 0; c < weight.cols(); ++c) {
      const double w = weight(r, c);
      if (!std::isfinite(w)) {
        ++stats->not_finite;
        continue;
      }
      squares += w * w;
      largest = std::max(largest, std::abs(w));
    }
    if (squares > 0) stats->row_peak = std::max(stats->row_peak, largest / std::sqrt(squares / weight.cols()));
    stats->sum_squares += squares;
    stats->largest = std::max(stats->largest, largest);
  }
  stats->count += weight.size();
}

void PrintConfig(const ModelConfig& c) {
  const ParameterCount count = CountParameters(c);
  std::cout << absl::StrFormat("architecture   %s, %d layers, hidden %d, vocabulary %d%s\n", c.model_type, c.num_layers,
                               c.hidden_size, c.vocab_size, c.tie_word_embeddings ? " (head tied)" : "");
  std::cout << absl::StrFormat("attention      %d heads of %d, %d key/value heads%s%s\n", c.num_heads, c.head_dim,
                               c.num_kv_heads,
                               c.qk_norm == QkNorm::kFullWidth ? ", q/k norm over the full width"
                               : c.qk_norm == QkNorm::kPerHead ? ", q/k norm per head"
                                                               : "",
                               c.sliding_window > 0 ? absl::StrFormat(", window %d", c.sliding_window) : "");
  if (c.num_experts > 0) {
    std::cout << absl::StrFormat(
        "experts        %d of width %d, top-%d%s%s\n", c.num_experts, c.expert_width, c.experts_per_token,
        c.norm_topk_prob ? ", weights renormalised" : "",
        c.shared_width > 0 ? absl::StrFormat(", shared expert of width %d", c.shared_width) : "");
  }
  std::cout << absl::StrFormat("parameters     %d total, %d active per token (%.1f %%)\n", count.total, count.active,
                               100.0 * count.active / count.total);
  std::cout << absl::StrFormat("rotary theta   %g, norm eps %g\n", c.rope_theta, c.rms_norm_eps);
  if (!c.defaulted.empty()) std::cout << "defaulted      " << absl::StrJoin(c.defaulted, ", ") << "\n";
}

absl::Status PrintWeights(const ModelSource& source, Json* json) {
  if (json == nullptr)
    std::cout << absl::StrFormat("\n%-8s %-18s %12s %10s %10s %12s %s\n", "layer", "role", "weights", "rms", "max |w|",
                                 "row peak/rms", "not finite");
  for (int l = 0; l < source.config().num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(const LayerParams layer, source.LoadLayer(l));
    std::map<Role, WeightStats> roles;
    for (const auto& [id, linear] : layer.linears) Accumulate(linear.weight, &roles[id.role]);
    for (const auto& [role, s] : roles) {
      const double rms = std::sqrt(s.sum_squares / s.count);
      if (json == nullptr) {
        std::cout << absl::StrFormat("%-8d %-18s %12d %10.5f %10.4f %12.2f %d\n", l, RoleName(role), s.count, rms,
                                     s.largest, s.row_peak, s.not_finite);
      } else {
        json->push_back({{"layer", l},
                         {"role", std::string(RoleName(role))},
                         {"weights", s.count},
                         {"rms", rms},
                         {"max_abs", s.largest},
                         {"row_peak_over_rms", s.row_peak},
                         {"not_finite", s.not_finite}});
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Inspect(const std::string& folder, bool tensors, bool json) {
  EAQ_ASSIGN_OR_RETURN(const auto source, CheckpointSource::Open(folder));
  const ModelConfig& c = source->config();
  std::map<std::string, std::pair<int64_t, int64_t>> dtypes;  // name -> tensors, bytes
  for (const auto& [name, entry] : source->store().tensors()) {
    auto& [count, bytes] = dtypes[std::string(DTypeName(entry.info.dtype))];
    ++count;
    bytes += static_cast<int64_t>(entry.info.end - entry.info.begin);
  }
  if (json) {
    const ParameterCount count = CountParameters(c);
    Json out = {{"model", folder},
                {"hash", source->hash()},
                {"model_type", c.model_type},
                {"layers", c.num_layers},
                {"hidden_size", c.hidden_size},
                {"vocab_size", c.vocab_size},
                {"experts", c.num_experts},
                {"experts_per_token", c.experts_per_token},
                {"parameters", count.total},
                {"active_parameters", count.active},
                {"tensors", source->store().tensors().size()},
                {"unused_tensors", source->unused()},
                {"weights", Json::array()}};
    EAQ_RETURN_IF_ERROR(PrintWeights(*source, &out["weights"]));
    std::cout << out.dump(2) << "\n";
    return absl::OkStatus();
  }
  PrintConfig(c);
  for (const auto& [name, entry] : dtypes)
    std::cout << absl::StrFormat("stored         %d tensors of %s, %.2f MB\n", entry.first, name, entry.second / 1e6);
  if (!source->unused().empty()) std::cout << "unused         " << absl::StrJoin(source->unused(), ", ") << "\n";
  std::cout << "hash           " << source->hash() << "\n";
  if (tensors) {
    std::cout << "\n";
    for (const auto& [name, entry] : source->store().tensors())
      std::cout << absl::StrFormat("%-60s %-5s %s\n", name, DTypeName(entry.info.dtype), ShapeString(entry.info.shape));
  }
  return PrintWeights(*source, nullptr);
}

}  // namespace

int InspectMain(int argc, char** argv) {
  std::string model;
  bool tensors = false, json = false;
  Flags flags("inspect",
              "Shows what a checkpoint is made of: architecture, parameter counts, weights per layer and role.",
              "eaq inspect --model=models/ref-s");
  flags.Add("model", &model, "folder of the checkpoint (config.json and safetensors)");
  flags.Add("tensors", &tensors, "list every tensor with its dtype and shape");
  flags.Add("json", &json, "print one JSON object instead");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (model.empty()) return ReportError("inspect", absl::InvalidArgumentError("--model=DIR is needed"), true);
  const absl::Status status = Inspect(ResolveUserPath(model), tensors, json);
  return status.ok() ? 0 : ReportError("inspect", status);
}

}  // namespace eaq
