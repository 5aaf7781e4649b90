// The model card of a trained reference model: what is measured (MeasureModel), how it reads (RenderCard), and the loss
// curve (RenderLossSvg). `eaq card` puts them into the model's folder.
#ifndef TOOLS_MODEL_CARD_H_
#define TOOLS_MODEL_CARD_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "tools/train_log.h"

namespace eaq {

struct CardDomain {
  std::string name, package, version, sha256;
  int64_t train_tokens = 0;
  int64_t windows = 0, documents = 0;      // measured, of the evaluation split
  double nll = 0;                          // nats per predicted token
  double bits_per_character = 0;           // of the predicted text: nll summed, / ln 2, / Unicode characters
  std::vector<std::vector<double>> share;  // [layer][expert], of the assignments; empty in dense layers
};

struct ModelCard {
  std::string name;
  ModelConfig config;
  int64_t parameters = 0, active = 0;
  std::string model_sha256;      // of model.safetensors
  std::string tokenizer_sha256;  // of tokenizer.json
  int64_t window = 256;
  std::vector<CardDomain> domains;
  std::vector<TrainLogRow> log;  // empty: unknown
};

// Scores WINDOWS windows of WINDOW tokens of the evaluation split of every default corpus (all if there are fewer),
// drawn by the stream "card/NAME". Deterministic for any number of threads.
absl::StatusOr<ModelCard> MeasureModel(const std::string& folder, int64_t windows, int64_t window, ThreadPool& pool);

// 0.5 sum |p - q|: how far two distributions over the same experts are apart, 0 to 1.
double TotalVariation(const std::vector<double>& p, const std::vector<double>& q);

// Markdown.
std::string RenderCard(const ModelCard& card);
// Loss in nats per token against tokens seen; readable on light and dark ground. LOG must not be empty.
std::string RenderLossSvg(const std::vector<TrainLogRow>& log);

}  // namespace eaq

#endif  // TOOLS_MODEL_CARD_H_
