// `eaq perplexity`: mean negative log-likelihood of a text, in non-overlapping windows.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "eaq/base/json.h"
#include "eaq/base/seconds_since.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/model/model.h"
#include "eaq/text/tokenizer.h"
#include "tools/commands.h"
#include "tools/flags.h"

namespace eaq {
namespace {

struct Options {
  std::string model, text;
  int64_t window = 256, max_windows = 0, threads = 0;
  bool json = false;
};

struct Score {
  int64_t tokens = 0;  // predicted
  int64_t windows = 0;
  double nll = 0;  // mean nats per predicted token
  double seconds = 0;
  int64_t left_out = 0;  // tokens of the incomplete tail
};

absl::StatusOr<Score> Run(const Options& o) {
  const std::string folder = ResolveUserPath(o.model);
  EAQ_ASSIGN_OR_RETURN(const auto source, OpenModel(folder));
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(JoinPath(folder, "tokenizer.json")));
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(ResolveUserPath(o.text)));
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->Encode(text));
  EAQ_ASSIGN_OR_RETURN(const auto model, Model::Load(*source));
  EAQ_RETURN_IF_ERROR(model->CheckIds(ids));
  Score score;
  score.windows = static_cast<int64_t>(ids.size()) / o.window;
  if (o.max_windows > 0) score.windows = std::min(score.windows, o.max_windows);
  if (score.windows == 0) {
    return absl::InvalidArgumentError(absl::StrCat(o.text, ": ", ids.size(), " tokens are less than one window of ",
                                                   o.window, "; take a longer text or a smaller --window"));
  }
  score.tokens = score.windows * (o.window - 1);
  score.left_out = static_cast<int64_t>(ids.size()) - score.windows * o.window;
  std::vector<double> sums(score.windows);
  ThreadPool pool(static_cast<int>(o.threads > 0 ? o.threads : AvailableProcessors()));
  const auto start = std::chrono::steady_clock::now();
  pool.ParallelFor(score.windows, [&](int64_t w) {
    double sum = 0;
    for (const double logp : model->LogProbs(absl::MakeConstSpan(ids).subspan(w * o.window, o.window))) sum -= logp;
    sums[w] = sum;
  });
  score.seconds = SecondsSince(start);
  for (const double sum : sums) score.nll += sum;
  score.nll /= static_cast<double>(score.tokens);
  return score;
}

}  // namespace

int PerplexityMain(int argc, char** argv) {
  Options o;
  Flags flags(
      "perplexity",
      "Scores a text with a model. Windows do not overlap, no BOS is added, the first token of a window is not\n"
      "predicted, the incomplete tail is left out. nll is the mean in nats per predicted token.",
      "eaq perplexity --model=models/ref-s --text=notes.txt --json");
  flags.Add("model", &o.model, "folder of the model (config.json, safetensors, tokenizer.json)");
  flags.Add("text", &o.text, "file with the text");
  flags.Add("window", &o.window, "tokens per window, 2 or more");
  flags.Add("max_windows", &o.max_windows, "score only the first N windows; 0: all");
  flags.Add("threads", &o.threads, "0: all processors; changes no digit of the result");
  flags.Add("json", &o.json, "print one JSON object");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (o.model.empty() || o.text.empty())
    return ReportError("perplexity", absl::InvalidArgumentError("--model=DIR and --text=FILE are needed"), true);
  if (o.window < 2 || o.max_windows < 0 || o.threads < 0 || o.threads > 1024) {
    return ReportError("perplexity",
                       absl::InvalidArgumentError("--window must be 2 or more, --max_windows 0 or more, --threads 0 to "
                                                  "1024"),
                       true);
  }
  const absl::StatusOr<Score> score = Run(o);
  if (!score.ok()) return ReportError("perplexity", score.status());
  const double speed = score->windows * o.window / std::max(score->seconds, 1e-9);
  if (o.json) {
    std::cout << Json({{"tokens", score->tokens},
                       {"windows", score->windows},
                       {"nll", score->nll},
                       {"perplexity", std::exp(score->nll)},
                       {"tokens_per_second", speed}})
                     .dump()
              << "\n";
  } else {
    std::cout << absl::StrFormat(
        "perplexity %.4f (%.5f nats per token) over %d tokens in %d windows of %d; %.0f tokens/s\n",
        std::exp(score->nll), score->nll, score->tokens, score->windows, o.window, speed);
    if (score->left_out > 0) std::cout << absl::StrFormat("%d tokens at the end were not scored\n", score->left_out);
  }
  return 0;
}

}  // namespace eaq
