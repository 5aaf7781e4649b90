// `eaq train`: a train.textproto and the default corpora -> a checkpoint in Hugging Face's layout.
#include <google/protobuf/text_format.h>

#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "eaq/base/thread_pool.h"
#include "eaq/text/corpus.h"
#include "eaq/text/tokenizer.h"
#include "eaq/text/windows.h"
#include "eaq/train/export.h"
#include "eaq/train/parameters.h"
#include "eaq/train/train.pb.h"
#include "eaq/train/trainer.h"
#include "tools/commands.h"
#include "tools/flags.h"
#include "tools/train_log.h"

namespace eaq {
namespace {

constexpr char kEndOfText[] = "<|endoftext|>";

absl::StatusOr<TrainRecipe> LoadRecipe(const std::string& path) {
  EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  TrainRecipe recipe;
  if (!google::protobuf::TextFormat::ParseFromString(text, &recipe)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a TrainRecipe (eaq/train/train.proto); see above"));
  }
  if (recipe.domain_size() == 0 || recipe.steps() < 1) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": at least one domain and steps >= 1 are needed"));
  }
  return recipe;
}

TrainSpec SpecOf(const TrainRecipe& recipe, int64_t vocab) {
  TrainSpec spec;
  const TrainRecipe::Model& m = recipe.model();
  spec.model.model_type = "olmoe";
  spec.model.vocab_size = vocab;
  spec.model.hidden_size = m.hidden();
  spec.model.num_layers = m.layers();
  spec.model.num_heads = spec.model.num_kv_heads = m.heads();
  spec.model.head_dim = m.heads() > 0 ? m.hidden() / m.heads() : 0;
  spec.model.num_experts = m.experts();
  spec.model.experts_per_token = m.experts_per_token();
  spec.model.expert_width = m.expert_width();
  spec.model.norm_topk_prob = true;
  spec.model.qk_norm = QkNorm::kFullWidth;
  spec.model.tie_word_embeddings = true;
  spec.model.max_position_embeddings = m.context();
  spec.context = m.context();
  spec.steps = recipe.steps();
  spec.warmup = recipe.warmup();
  spec.windows_per_step = recipe.windows_per_step();
  spec.shards = recipe.shards();
  spec.learning_rate = recipe.learning_rate();
  spec.balance = recipe.balance();
  spec.z = recipe.z();
  spec.adamw.weight_decay = recipe.weight_decay();
  spec.seed = recipe.seed();
  return spec;
}

absl::StatusOr<std::vector<TrainStream>> Streams(const TrainRecipe& recipe, const Tokenizer& tokenizer,
                                                 ThreadPool& pool) {
  const int32_t end_of_text = tokenizer.TokenId(kEndOfText);
  if (end_of_text < 0 || tokenizer.vocab_size() > 65536) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer must have the token ", kEndOfText,
                                                   " and at most 65536 ids; it has ", tokenizer.vocab_size()));
  }
  std::vector<TrainStream> streams;
  for (const TrainRecipe::Domain& domain : recipe.domain()) {
    EAQ_ASSIGN_OR_RETURN(const Corpus corpus, LoadCorpus(domain.corpus(), ""));
    EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                         TokenStream(corpus, tokenizer, Split::kTrain, end_of_text, &pool));
    std::cerr << absl::StrFormat("%-12s %9d tokens  %s %s  sha256 %s\n", corpus.name, ids.size(), corpus.package,
                                 corpus.version, corpus.sha256.substr(0, 12));
    streams.push_back({.ids = std::vector<uint16_t>(ids.begin(), ids.end()), .weight = domain.weight()});
  }
  return streams;
}

void Report(const TrainProgress& p) {
  if (p.step % 100 != 0 && p.step != p.steps) return;
  std::cerr << absl::StrFormat(
      "step %6d/%d  nll %.4f  balance %.3f  gradient %.2f  experts %d..%d  %.0f tokens/s  %.0f s left\n", p.step,
      p.steps, p.loss.nll, p.loss.balance, p.gradient_norm, p.least_used, p.most_used, p.tokens_per_second,
      p.seconds_left);
}

absl::Status Run(const std::string& spec_path, const std::string& tokenizer_path, const std::string& out, int threads) {
  EAQ_ASSIGN_OR_RETURN(const TrainRecipe recipe, LoadRecipe(spec_path));
  EAQ_ASSIGN_OR_RETURN(const std::string tokenizer_json, ReadFile(tokenizer_path));
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Parse(tokenizer_json));
  EAQ_RETURN_IF_ERROR(MakeDirectories(out));
  ThreadPool pool(threads);
  EAQ_ASSIGN_OR_RETURN(const std::vector<TrainStream> streams, Streams(recipe, *tokenizer, pool));
  const TrainSpec spec = SpecOf(recipe, tokenizer->vocab_size());
  std::vector<float> params;
  TrainLog log(JoinPath(out, "train_log.tsv"));
  EAQ_RETURN_IF_ERROR(RunTraining(
      spec, streams, JoinPath(out, "train.state"), &pool,
      [&](const TrainProgress& p) {
        log.Add(p.step, p.step * spec.windows_per_step * spec.context, p.loss.nll, p.step == p.steps);
        Report(p);
      },
      &params));
  EAQ_RETURN_IF_ERROR(log.status());
  const ParameterLayout layout(spec.model);
  EAQ_RETURN_IF_ERROR(ExportModel(layout, params, out));
  return WriteFileAtomic(JoinPath(out, "tokenizer.json"), tokenizer_json);
}

}  // namespace

int TrainMain(int argc, char** argv) {
  std::string spec, out, tokenizer;
  int64_t threads = AvailableProcessors();
  Flags flags("train", "Trains a reference model. An interrupted run goes on where its last checkpoint stands.",
              "eaq train --spec=models/ref-s/train.textproto --out=/tmp/ref-s");
  flags.Add("spec", &spec, "a TrainRecipe in text format (eaq/train/train.proto)");
  flags.Add("out", &out, "folder of the checkpoint, and of train.state while it runs");
  flags.Add("tokenizer", &tokenizer, "tokenizer.json; default: the one beside the spec");
  flags.Add("threads", &threads, "threads; the result has the same bits for any number");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (spec.empty() || out.empty() || threads < 1) {
    return ReportError("train", absl::InvalidArgumentError("--spec=FILE, --out=DIR and --threads >= 1 are needed"),
                       true);
  }
  const std::string spec_path = ResolveUserPath(spec);
  const std::string tokenizer_path =
      tokenizer.empty() ? JoinPath(Dirname(spec_path), "tokenizer.json") : ResolveUserPath(tokenizer);
  const absl::Status status = Run(spec_path, tokenizer_path, ResolveUserPath(out), static_cast<int>(threads));
  return status.ok() ? 0 : ReportError("train", status);
}

}  // namespace eaq
