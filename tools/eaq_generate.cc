// `eaq generate`: a model continues a text.
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/device/resident_model.h"
#include "eaq/model/generate.h"
#include "eaq/text/tokenizer.h"
#include "kernels/device/open.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace eaq {
namespace {

absl::StatusOr<std::unique_ptr<ResidentModel>> OnDevice(kernels::BackendKind kind, const ModelSource& source,
                                                        int64_t capacity) {
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source.LoadOuter());
  const ModelEnds ends(source.config(), std::move(outer));
  const auto image = [&](int l) -> absl::StatusOr<LayerImage> {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, source.LoadLayer(l));
    EAQ_ASSIGN_OR_RETURN(const auto layer, BuildLayer(source.config(), std::move(params)));
    return MakeLayerImage(*layer, [](const LinearId&) -> const QuantizedMatrix* { return nullptr; });
  };
  return ResidentModel::Create(kind, ends, image, capacity);
}

absl::Status Run(const std::string& model_flag, const std::string& prompt, const SamplingOptions& options,
                 kernels::BackendKind kind, bool json) {
  const std::string folder = ResolveUserPath(model_flag);
  EAQ_ASSIGN_OR_RETURN(const auto source, OpenModel(folder));
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(JoinPath(folder, "tokenizer.json")));
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->Encode(prompt, /*add_special_tokens=*/true));
  std::unique_ptr<Model> model;           // one
  std::unique_ptr<ResidentModel> device;  // of the two
  if (kind == kernels::BackendKind::kCpu) {
    EAQ_ASSIGN_OR_RETURN(model, Model::Load(*source));
  } else {
    EAQ_ASSIGN_OR_RETURN(device, OnDevice(kind, *source, static_cast<int64_t>(ids.size()) + options.max_new_tokens));
  }
  if (!json) std::cout << prompt << std::flush;
  const auto start = std::chrono::steady_clock::now();
  const auto on_token = [&](int32_t token) {
    if (!json) std::cout << tokenizer->Decode({token}) << std::flush;
    return true;
  };
  const auto extend = [&](absl::Span<const int32_t> next, absl::Span<float> logits) {
    return device->Extend(next, logits);
  };
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens,
                       model != nullptr ? Generate(*model, ids, options, on_token)
                                        : Generate(source->config().vocab_size, extend, ids, options, on_token));
  const double seconds = SecondsSince(start);
  if (json) {
    std::cout << Json({{"prompt_tokens", ids.size()},
                       {"ids", tokens},
                       {"text", tokenizer->Decode(tokens)},
                       {"tokens_per_second", tokens.size() / seconds}})
                     .dump(-1, ' ', false, Json::error_handler_t::replace)
              << "\n";
  } else {
    std::cout << "\n";
    std::cerr << absl::StrFormat("[%d tokens, %.0f tokens/s]\n", tokens.size(), tokens.size() / seconds);
  }
  return absl::OkStatus();
}

}  // namespace

int GenerateMain(int argc, char** argv) {
  std::string model, prompt, backend = "cpu";
  SamplingOptions options;
  int64_t seed = 0, stop = -1;
  bool json = false;
  Flags flags("generate", "Continues a text: greedy by default, sampled with --temperature.",
              "eaq generate --model=models/ref-s --prompt='In the beginning' --temperature=0.8 --top_p=0.9");
  flags.Add("model", &model, "folder of the model");
  flags.Add("prompt", &prompt, "the text to continue");
  flags.Add("max_new_tokens", &options.max_new_tokens, "length of the continuation");
  flags.Add("temperature", &options.temperature, "0: the most probable token each time");
  flags.Add("top_k", &options.top_k, "sample among the k most probable tokens; 0: all");
  flags.Add("top_p", &options.top_p, "sample among the most probable tokens that make up this probability");
  flags.Add("seed", &seed, "same seed, same text");
  flags.Add("stop_token", &stop, "id that ends the text; -1: none");
  flags.Add("backend", &backend, "cpu, emulation or cuda (built with --config=gpu): what the model runs on");
  flags.Add("json", &json, "print one JSON object");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  options.seed = static_cast<uint64_t>(seed);
  if (stop >= 0) options.stop_token = static_cast<int32_t>(stop);
  if (model.empty() || prompt.empty())
    return ReportError("generate", absl::InvalidArgumentError("--model=DIR and --prompt=TEXT are needed"), true);
  if (const absl::Status status = CheckSampling(options); !status.ok()) return ReportError("generate", status, true);
  kernels::BackendKind kind;
  if (!kernels::ParseBackend(backend, &kind) || kind == kernels::BackendKind::kReference) {
    return ReportError("generate",
                       absl::InvalidArgumentError("--backend=" + backend + "; expected cpu, emulation or cuda"), true);
  }
  const absl::Status status = Run(model, prompt, options, kind, json);
  return status.ok() ? 0 : ReportError("generate", status);
}

}  // namespace eaq
