// tiny_model FOLDER TEXT WINDOW: writes a random OLMoE with a tokenizer of bytes into FOLDER, for tests of //tools:eaq,
// and prints what `eaq perplexity` must find on TEXT: "tokens windows nll", counted the slow way: token after token
// through a cache, softmax in float64.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "eaq/checkpoint/save_model.h"
#include "eaq/model/model.h"
#include "eaq/model/synthetic.h"
#include "eaq/text/bpe_train.h"
#include "eaq/text/tokenizer.h"

namespace eaq {
namespace {

absl::StatusOr<std::string> Run(const std::string& folder, const std::string& text_path, int64_t window) {
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(text_path));
  ThreadPool pool(1);
  // 256 bytes and <|endoftext|>: a token is a byte, so that a shell can count them.
  EAQ_ASSIGN_OR_RETURN(const std::string json, TrainByteLevelBpe({text}, {.vocab_size = 257}, &pool));
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Parse(json));
  ModelConfig config = TinyConfig();
  config.vocab_size = 257;
  const auto source = RandomModel(config, 1);
  std::vector<LayerParams> layers;
  for (int l = 0; l < config.num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(LayerParams layer, source->LoadLayer(l));
    layers.push_back(std::move(layer));
  }
  EAQ_ASSIGN_OR_RETURN(const OuterParams outer, source->LoadOuter());
  EAQ_RETURN_IF_ERROR(SaveModel(folder, config, layers, outer, DType::kF32));
  EAQ_RETURN_IF_ERROR(WriteFileAtomic(JoinPath(folder, "tokenizer.json"), json));

  EAQ_ASSIGN_OR_RETURN(const auto model, Model::Load(*source));
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer->Encode(text));
  int64_t tokens = 0, windows = 0;
  double nll = 0;
  std::vector<float> logits(config.vocab_size);
  for (size_t begin = 0; begin + window <= ids.size(); begin += window, ++windows) {
    KvCache cache = model->NewCache(window);
    for (int64_t t = 0; t + 1 < window; ++t, ++tokens) {
      model->Extend(absl::MakeConstSpan(ids).subspan(begin + t, 1), cache, absl::MakeSpan(logits));
      double sum = 0;
      for (const float x : logits) sum += std::exp(static_cast<double>(x));
      nll -= logits[ids[begin + t + 1]] - std::log(sum);
    }
  }
  return absl::StrCat(tokens, " ", windows, " ", nll / static_cast<double>(tokens));
}

}  // namespace
}  // namespace eaq

int main(int argc, char** argv) {
  int64_t window = 0;
  if (argc != 4 || !absl::SimpleAtoi(argv[3], &window) || window < 2) {
    std::fprintf(stderr, "usage: tiny_model FOLDER TEXT WINDOW\n");
    return 2;
  }
  const auto found = eaq::Run(argv[1], argv[2], window);
  if (!found.ok()) {
    std::fprintf(stderr, "tiny_model: %s\n", found.status().ToString().c_str());
    return 1;
  }
  std::printf("%s\n", found->c_str());
  return 0;
}
