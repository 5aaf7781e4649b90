// `eaq card`: measures a trained reference model and writes its model card.
#include <iostream>
#include <string>

#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "tools/commands.h"
#include "tools/flags.h"
#include "tools/model_card.h"

namespace eaq {
namespace {

absl::Status Run(const std::string& folder, int64_t windows, int64_t window) {
  ThreadPool pool(AvailableProcessors());
  EAQ_ASSIGN_OR_RETURN(const ModelCard card, MeasureModel(folder, windows, window, pool));
  const std::string path = JoinPath(folder, "README.md");
  EAQ_RETURN_IF_ERROR(WriteFileAtomic(path, RenderCard(card)));
  std::cout << path << "\n";
  if (card.log.empty()) return absl::OkStatus();
  const std::string svg = JoinPath(folder, "loss.svg");
  EAQ_RETURN_IF_ERROR(WriteFileAtomic(svg, RenderLossSvg(card.log)));
  std::cout << svg << "\n";
  return absl::OkStatus();
}

}  // namespace

int CardMain(int argc, char** argv) {
  std::string model;
  int64_t windows = 64, window = 256;
  Flags flags("card", "Measures a model on the default corpora and writes README.md (and loss.svg) into its folder.",
              "eaq card --model=models/ref-s");
  flags.Add("model", &model, "folder of the model; train_log.tsv in it gives the loss curve");
  flags.Add("per_corpus", &windows, "evaluation windows per corpus");
  flags.Add("window", &window, "tokens per window");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (model.empty() || windows < 1 || window < 2) {
    return ReportError("card",
                       absl::InvalidArgumentError("--model=DIR, --per_corpus >= 1 and --window >= 2 are needed"), true);
  }
  const absl::Status status = Run(ResolveUserPath(model), windows, window);
  return status.ok() ? 0 : ReportError("card", status);
}

}  // namespace eaq
