// `eaq train`: a train.textproto and the default corpora -> a checkpoint in Hugging Face's layout.
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
#include "tools/train_recipe.h"

namespace eaq {
namespace {

TrainSpec SpecOf(const TrainRecipe& recipe, int64_t vocab) {
  TrainSpec spec;
  const TrainRecipe::Model& m = recipe.model();
  const bool deepseek = m.family() == TrainRecipe::Model::DEEPSEEK, olmoe = m.family() == TrainRecipe::Model::OLMOE;
  spec.model.model_type = olmoe ? "olmoe" : deepseek ? "deepseek" : "mixtral";
  spec.model.vocab_size = vocab;
  spec.model.hidden_size = m.hidden();
  spec.model.num_layers = m.layers();
  spec.model.num_heads = m.heads();
  spec.model.num_kv_heads = m.has_kv_heads() ? m.kv_heads() : m.heads();
  spec.model.head_dim = m.heads() > 0 ? m.hidden() / m.heads() : 0;
  spec.model.num_experts = m.experts();
  spec.model.experts_per_token = m.experts_per_token();
  spec.model.expert_width = m.expert_width();
  spec.model.norm_topk_prob = !deepseek;
  spec.model.qk_norm = olmoe ? QkNorm::kFullWidth : QkNorm::kNone;
  if (deepseek) {
    spec.model.dense_layers = {0};
    spec.model.dense_width = m.dense_width();
    spec.model.shared_width = static_cast<int64_t>(m.shared_experts()) * m.expert_width();
    spec.model.shared_expert_gated = false;
  }
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
    EAQ_ASSIGN_OR_RETURN(const Corpus corpus, LoadDomain(domain));
    EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                         TokenStream(corpus, tokenizer, Split::kTrain, end_of_text, &pool));
    if (static_cast<int64_t>(ids.size()) <= recipe.model().context()) {
      return absl::InvalidArgumentError(
          absl::StrCat("domain ", corpus.name, ": expected more than ", recipe.model().context(),
                       " tokens in its training split, found ", ids.size(),
                       "; a document lies in one split as a whole, so give more documents (docs/formats/corpora.md)"));
    }
    std::cerr << absl::StrFormat("%-12s %9d tokens  %s %s  sha256 %s\n", corpus.name, ids.size(),
                                 corpus.package.empty() ? corpus.title : corpus.package, corpus.version,
                                 corpus.sha256.substr(0, 12));
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

struct Options {
  std::string spec, out, tokenizer;
  int64_t threads = AvailableProcessors(), stop_after = -1;
};

absl::Status Run(const Options& o, const std::string& spec_path, const std::string& spec_text,
                 const TrainRecipe& recipe) {
  const std::string out = ResolveUserPath(o.out);
  const std::string tokenizer_path =
      o.tokenizer.empty() ? JoinPath(Dirname(spec_path), "tokenizer.json") : ResolveUserPath(o.tokenizer);
  EAQ_ASSIGN_OR_RETURN(const std::string tokenizer_json, ReadFile(tokenizer_path));
  const absl::StatusOr<std::shared_ptr<const Tokenizer>> tokenizer = Tokenizer::Parse(tokenizer_json);
  EAQ_RETURN_IF_ERROR(Annotate(tokenizer.status(), tokenizer_path));
  EAQ_RETURN_IF_ERROR(MakeDirectories(out));
  EAQ_ASSIGN_OR_RETURN(TrainLog log, TrainLog::Open(JoinPath(out, "train_log.tsv"), TokensPerStep(recipe)));
  ThreadPool pool(static_cast<int>(o.threads));
  EAQ_ASSIGN_OR_RETURN(const std::vector<TrainStream> streams, Streams(recipe, **tokenizer, pool));
  TrainSpec spec = SpecOf(recipe, (*tokenizer)->vocab_size());
  spec.stop_after = o.stop_after;
  // The files that explain the checkpoint stand beside it from the first step on.
  EAQ_RETURN_IF_ERROR(WriteFileAtomic(JoinPath(out, "train.textproto"), spec_text));
  EAQ_RETURN_IF_ERROR(WriteFileAtomic(JoinPath(out, "tokenizer.json"), tokenizer_json));
  absl::Status log_status;  // a log that cannot be written does not end hours of training
  const auto report = [&](const TrainProgress& progress) {
    Report(progress);
    const absl::Status status = log.Add(progress);
    if (!status.ok() && log_status.ok()) std::cerr << "the loss curve is not kept: " << status.message() << "\n";
    log_status.Update(status);
  };
  Buffer<float> params;
  EAQ_RETURN_IF_ERROR(RunTraining(spec, streams, JoinPath(out, "train.state"), &pool, report, &params));
  if (spec.stop_after >= 0 && spec.stop_after < spec.steps) {
    std::cerr << "stopped after step " << spec.stop_after << "; the same command without --stop_after goes on\n";
    return log_status;
  }
  EAQ_RETURN_IF_ERROR(ExportModel(ParameterLayout(spec.model), params, out));
  return log_status;
}

}  // namespace

int TrainMain(int argc, char** argv) {
  Options o;
  Flags flags("train",
              "Trains a reference model. An interrupted run goes on where its last checkpoint stands (every 500\n"
              "steps). OUT also gets train.textproto, tokenizer.json and the loss curve, train_log.tsv.",
              "eaq train --spec=models/ref-s/train.textproto --out=/tmp/ref-s");
  flags.Add("spec", &o.spec, "a TrainRecipe in text format (eaq/train/train.proto)");
  flags.Add("out", &o.out, "folder of the checkpoint, and of train.state while it runs");
  flags.Add("tokenizer", &o.tokenizer, "tokenizer.json; default: the one beside the spec");
  flags.Add("threads", &o.threads, "threads; the result has the same bits for any number");
  flags.Add("stop_after", &o.stop_after, "stop, resumable, after this step, a multiple of 100; -1: train to the end");
  if (const std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (o.spec.empty() || o.out.empty() || o.threads < 1 || o.threads > 1024) {
    return ReportError("train", absl::InvalidArgumentError("--spec=FILE, --out=DIR and --threads 1 to 1024 are needed"),
                       true);
  }
  if (o.stop_after != -1 && (o.stop_after < kTrainLogEvery || o.stop_after % kTrainLogEvery != 0)) {
    return ReportError("train", absl::InvalidArgumentError("--stop_after must be a multiple of 100, or -1"), true);
  }
  const std::string spec_path = ResolveUserPath(o.spec);
  const absl::StatusOr<std::string> text = ReadFile(spec_path);
  if (!text.ok()) return ReportError("train", text.status());
  const absl::StatusOr<TrainRecipe> recipe = ParseTrainRecipe(*text, spec_path);
  if (!recipe.ok()) return ReportError("train", recipe.status(), true);
  const absl::Status status = Run(o, spec_path, *text, *recipe);
  return status.ok() ? 0 : ReportError("train", status);
}

}  // namespace eaq
