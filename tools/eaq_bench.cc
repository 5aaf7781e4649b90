// `eaq bench`: how fast, as shares of what this machine can do. Everything is measured in one run, interleaved, and
// reported as the median over the repeats: ratios survive a busy machine, seconds do not.
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/rng.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/model/generate.h"
#include "eaq/model/linear_shapes.h"
#include "eaq/model/model.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/peak.h"
#include "tools/bench_gemm.h"
#include "tools/bench_train.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace eaq {
namespace {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return SecondsSince(start);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// Cheap numbers in [-scale, scale): the speed of a product does not depend on them.
Matrix FastRandom(int64_t rows, int64_t cols, float scale, uint64_t seed) {
  Matrix m(rows, cols);
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (int64_t i = 0; i < m.size(); ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    m.data()[i] = (static_cast<float>(state >> 40) * 0x1p-23f - 1.0f) * scale;
  }
  return m;
}

// Passes on to a DenseLinear and adds up time and operations.
class TimedLinear : public Linear {
 public:
  struct Totals {
    double seconds = 0;
    double flops = 0;
  };
  TimedLinear(std::shared_ptr<const Linear> inner, Totals* totals) : inner_(std::move(inner)), totals_(totals) {}
  int64_t out_features() const override { return inner_->out_features(); }
  int64_t in_features() const override { return inner_->in_features(); }
  void Forward(ConstMatrixView x, MatrixView y) const override {
    totals_->seconds += Seconds([&] { inner_->Forward(x, y); });
    totals_->flops += 2.0 * x.rows * out_features() * in_features();
  }

 private:
  std::shared_ptr<const Linear> inner_;
  Totals* totals_;  // one thread at a time
};

absl::StatusOr<std::unique_ptr<DecoderLayer>> Timed(const ModelConfig& config, const LayerParams& norms,
                                                    const DecoderLayer::Linears& linears, TimedLinear::Totals* totals) {
  DecoderLayer::Linears timed;
  for (const auto& [id, linear] : linears) timed[id] = std::make_shared<TimedLinear>(linear, totals);
  return DecoderLayer::Create(config, norms, std::move(timed));
}

struct Peak {
  double fma = 0;   // operations per second of the register loop, one thread
  double gemm = 0;  // of the best square product
};

Peak MeasurePeak() {
  Peak peak;
  constexpr int64_t kIterations = 4'000'000;
  double flops = 0;
  const double seconds = Seconds([&] { flops = static_cast<double>(kernels::FmaLoop(kIterations)); });
  peak.fma = flops / seconds;
  for (const int64_t n : {768, 1024, 1536}) {
    static std::map<int64_t, std::pair<Matrix, Matrix>> inputs;
    auto& [a, b] = inputs[n];
    if (a.size() == 0) a = FastRandom(n, n, 1, 1), b = FastRandom(n, n, 1, 2);
    Matrix c(n, n);
    const double time = Seconds([&] { kernels::LinearForward(a.data(), n, b.data(), c.data(), n, n, n, n); });
    peak.gemm = std::max(peak.gemm, 2.0 * n * n * n / time);
  }
  return peak;
}

// One layer on WINDOW tokens, REPEATS times, each beside a fresh measurement of the peak.
struct LayerResult {
  double share = 0;         // of the GEMM peak inside the linears
  double gflops = 0;        // inside the linears
  double linears_time = 0;  // share of the layer's time spent in linears
  double tokens_per_second = 0;
};

absl::StatusOr<LayerResult> BenchLayers(const ModelConfig& config,
                                        const std::vector<std::pair<LayerParams, DecoderLayer::Linears>>& layers,
                                        int64_t window, int64_t passes, int64_t repeats) {
  TimedLinear::Totals totals;
  std::vector<std::unique_ptr<DecoderLayer>> timed;
  for (const auto& [norms, linears] : layers) {
    EAQ_ASSIGN_OR_RETURN(std::unique_ptr<DecoderLayer> layer, Timed(config, norms, linears, &totals));
    timed.push_back(std::move(layer));
  }
  const Matrix input = FastRandom(window, config.hidden_size, 2.0f, 3);
  Matrix hidden = input;
  for (const auto& layer : timed) layer->Forward(hidden.view());  // warm: JIT code, scratch memory, pages
  std::vector<double> share, gflops, inside, speed;
  for (int64_t r = 0; r < repeats; ++r) {
    const Peak before = MeasurePeak();
    totals = {};
    double seconds = 0;
    for (int64_t pass = 0; pass < passes; ++pass) {
      hidden = input;
      seconds += Seconds([&] {
        for (const auto& layer : timed) layer->Forward(hidden.view());
      });
    }
    const double rate = totals.flops / totals.seconds;
    share.push_back(rate / std::max(before.gemm, MeasurePeak().gemm));
    gflops.push_back(rate / 1e9);
    inside.push_back(totals.seconds / seconds);
    speed.push_back(window * passes / seconds);
  }
  return LayerResult{Median(share), Median(gflops), Median(inside), Median(speed)};
}

ModelConfig OlmoeConfig() {
  ModelConfig c;
  c.model_type = "olmoe";
  c.vocab_size = 50304;
  c.hidden_size = 2048;
  c.num_layers = 1;
  c.num_heads = c.num_kv_heads = 16;
  c.head_dim = 128;
  c.num_experts = 64;
  c.experts_per_token = 8;
  c.expert_width = 1024;
  c.qk_norm = QkNorm::kFullWidth;
  return c;
}

std::pair<LayerParams, DecoderLayer::Linears> FastLayer(const ModelConfig& c) {
  std::pair<LayerParams, DecoderLayer::Linears> layer;
  layer.first.input_norm = layer.first.post_norm = std::vector<float>(c.hidden_size, 1.0f);
  layer.first.q_norm.assign(QNormSize(c), 1.0f);
  layer.first.k_norm.assign(KNormSize(c), 1.0f);
  uint64_t seed = 10;
  for (const auto& [id, shape] : LinearShapes(c, 0))
    layer.second[id] = std::make_shared<DenseLinear>(FastRandom(shape.first, shape.second, 0.03f, ++seed));
  return layer;
}

std::vector<int32_t> RandomIds(int64_t n, int64_t vocab, uint64_t seed) {
  Rng rng(seed, "bench");
  std::vector<int32_t> ids(n);
  for (int32_t& id : ids) id = static_cast<int32_t>(rng.Below(vocab));
  return ids;
}

absl::Status BenchModel(const std::string& folder, int64_t window, int64_t repeats, Json* out) {
  EAQ_ASSIGN_OR_RETURN(const auto source, OpenModel(folder));
  EAQ_ASSIGN_OR_RETURN(const auto model, Model::Load(*source));
  const ModelConfig& c = model->config();
  Json& json = (*out)["model"];
  json["folder"] = folder;
  json["window"] = window;

  std::vector<std::pair<LayerParams, DecoderLayer::Linears>> layers;
  for (int l = 0; l < c.num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(LayerParams norms, source->LoadLayer(l));
    norms.linears.clear();
    layers.emplace_back(std::move(norms), model->layer(l).linears());
  }
  const int64_t passes = std::max<int64_t>(1, 8192 / window);
  EAQ_ASSIGN_OR_RETURN(const LayerResult linears, BenchLayers(c, layers, window, passes, repeats));
  json["linears_share_of_gemm_peak"] = linears.share;
  json["linears_gflops"] = linears.gflops;
  json["linears_share_of_layer_time"] = linears.linears_time;

  constexpr int64_t kWindows = 32;
  std::vector<std::vector<int32_t>> windows;
  for (int64_t w = 0; w < kWindows; ++w) windows.push_back(RandomIds(window, c.vocab_size, w));
  for (const int threads : {1, AvailableProcessors()}) {
    ThreadPool pool(threads);
    std::vector<double> speed;
    for (int64_t r = 0; r <= repeats; ++r) {
      const double seconds =
          Seconds([&] { pool.ParallelFor(kWindows, [&](int64_t w) { model->LogProbs(windows[w]); }); });
      if (r > 0) speed.push_back(kWindows * window / seconds);
    }
    json["score_tokens_per_second"][absl::StrCat(threads, threads == 1 ? "_thread" : "_threads")] = Median(speed);
  }
  std::vector<double> decode;
  SamplingOptions options;
  options.max_new_tokens = 128;
  for (int64_t r = 0; r <= repeats; ++r) {
    absl::Status status;
    const double seconds = Seconds([&] {
      status = Generate(*model, absl::MakeConstSpan(windows[0]).subspan(0, 16), options, [](int32_t) {
                 return true;
               }).status();
    });
    EAQ_RETURN_IF_ERROR(status);
    if (r > 0) decode.push_back(options.max_new_tokens / seconds);
  }
  json["decode_tokens_per_second"] = Median(decode);
  return absl::OkStatus();
}

absl::Status Bench(const std::string& folder, int64_t window, int64_t repeats, bool large, bool train, Json* out) {
  std::vector<double> fma, gemm;
  MeasurePeak();
  for (int64_t r = 0; r < std::max<int64_t>(5, repeats); ++r) {
    const Peak peak = MeasurePeak();
    fma.push_back(peak.fma / 1e9);
    gemm.push_back(peak.gemm / 1e9);
  }
  (*out)["peak"] = {{"fma_gflops_per_thread", Median(fma)},
                    {"gemm_gflops_per_thread", Median(gemm)},
                    {"gemm_share_of_fma", Median(gemm) / Median(fma)},
                    {"processors", AvailableProcessors()}};
  if (!folder.empty()) EAQ_RETURN_IF_ERROR(BenchModel(folder, window, repeats, out));
  if (large) {
    const ModelConfig config = OlmoeConfig();
    std::vector<std::pair<LayerParams, DecoderLayer::Linears>> layer;
    layer.push_back(FastLayer(config));
    EAQ_ASSIGN_OR_RETURN(const LayerResult r, BenchLayers(config, layer, 4096, 1, std::min<int64_t>(repeats, 3)));
    (*out)["olmoe_1b_7b_layer"] = {{"tokens", 4096},
                                   {"linears_share_of_gemm_peak", r.share},
                                   {"linears_gflops", r.gflops},
                                   {"linears_share_of_layer_time", r.linears_time},
                                   {"tokens_per_second", r.tokens_per_second}};
  }
  if (!train) return absl::OkStatus();
  BenchWeightGradients(repeats, out);
  return BenchTraining(std::min<int64_t>(repeats, 5), out);
}

void PrintTable(const Json& out) {
  const Json& peak = out["peak"];
  const auto number = [](const Json& json, const char* key) { return json[key].get<double>(); };
  std::cout << absl::StrFormat("machine     multiply-adds %.1f GFLOP/s per thread, best GEMM %.1f (%.0f %%)\n",
                               number(peak, "fma_gflops_per_thread"), number(peak, "gemm_gflops_per_thread"),
                               100 * number(peak, "gemm_share_of_fma"));
  if (out.contains("model")) {
    const Json& m = out["model"];
    std::cout << absl::StrFormat("model       %s, windows of %d tokens\n", m["folder"].get<std::string>(),
                                 m["window"].get<int64_t>());
    std::cout << absl::StrFormat(
        "            linears %.1f GFLOP/s = %.0f %% of the GEMM peak, %.0f %% of a layer's time\n",
        number(m, "linears_gflops"), 100 * number(m, "linears_share_of_gemm_peak"),
        100 * number(m, "linears_share_of_layer_time"));
    for (const auto& [threads, speed] : m["score_tokens_per_second"].items())
      std::cout << absl::StrFormat("            scoring %.0f tokens/s (%s)\n", speed.get<double>(), threads);
    std::cout << absl::StrFormat("            decoding %.0f tokens/s, one sequence\n",
                                 number(m, "decode_tokens_per_second"));
  }
  if (out.contains("olmoe_1b_7b_layer")) {
    const Json& m = out["olmoe_1b_7b_layer"];
    std::cout << absl::StrFormat(
        "large       one layer of OLMoE-1B-7B's shape, 4096 tokens, one thread, synthetic weights\n"
        "            linears %.1f GFLOP/s = %.0f %% of the GEMM peak, %.0f %% of the layer's time; %.0f tokens/s\n",
        number(m, "linears_gflops"), 100 * number(m, "linears_share_of_gemm_peak"),
        100 * number(m, "linears_share_of_layer_time"), number(m, "tokens_per_second"));
  }
  if (out.contains("weight_gradients")) {
    for (const auto& [shape, m] : out["weight_gradients"].items()) {
      std::cout << absl::StrFormat("gradients   %-26s %.1f GFLOP/s, oneDNN %.1f, ratio %.2f\n", shape,
                                   number(m, "gflops"), number(m, "library_gflops"), number(m, "ratio"));
    }
  }
  if (out.contains("training")) {
    for (const auto& [name, m] : out["training"].items()) {
      std::cout << absl::StrFormat("training    %s parameters, OLMoE layout: %.0f tokens/s on %d threads\n", name,
                                   number(m, "tokens_per_second"), m["threads"].get<int>());
    }
  }
}

}  // namespace

int BenchMain(int argc, char** argv) {
  std::string model;
  int64_t window = 256, repeats = 5;
  bool large = true, train = true, json = false;
  Flags flags("bench", "Measures this machine and how much of it the model runtime uses.",
              "eaq bench --model=models/ref-s");
  flags.Add("model", &model, "folder of a model to time; without it only the machine and the large layer");
  flags.Add("window", &window, "tokens per window");
  flags.Add("repeats", &repeats, "measurements; medians are shown");
  flags.Add("large", &large, "time one layer of OLMoE-1B-7B's shape as well (needs 2 GB of memory, about a minute)");
  flags.Add("train", &train, "time training steps of the 2.1 M and 8.4 M parameter configurations");
  flags.Add("json", &json, "print one JSON object instead of a table");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (window < 2 || repeats < 1)
    return ReportError("bench", absl::InvalidArgumentError("--window must be 2 or more and --repeats 1 or more"), true);
  Json out;
  const absl::Status status = Bench(model.empty() ? "" : ResolveUserPath(model), window, repeats, large, train, &out);
  if (!status.ok()) return ReportError("bench", status);
  if (json) {
    std::cout << out.dump(2) << "\n";
  } else {
    PrintTable(out);
  }
  return 0;
}

}  // namespace eaq
