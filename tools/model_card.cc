#include "tools/model_card.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/eval/score.h"
#include "eaq/eval/trace.h"
#include "eaq/model/linear_shapes.h"
#include "eaq/text/corpus.h"
#include "eaq/text/tokenizer.h"
#include "eaq/text/windows.h"

namespace eaq {
namespace {

int64_t Characters(absl::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xc0) != 0x80; });
}

struct LoadedModel {
  ModelEnds ends;
  std::vector<std::unique_ptr<DecoderLayer>> layers;
};

absl::StatusOr<CardDomain> MeasureDomain(const CorpusInfo& info, const LoadedModel& model, const Tokenizer& tokenizer,
                                         int64_t count, int64_t length, ThreadPool& pool) {
  CardDomain domain;
  EAQ_ASSIGN_OR_RETURN(const Corpus corpus, LoadCorpus(info.name, ""));
  domain.name = corpus.name;
  domain.package = corpus.package;
  domain.version = corpus.version;
  domain.sha256 = corpus.sha256;
  EAQ_ASSIGN_OR_RETURN(const std::vector<int32_t> train, TokenStream(corpus, tokenizer, Split::kTrain, 0, &pool));
  domain.train_tokens = static_cast<int64_t>(train.size());
  EAQ_ASSIGN_OR_RETURN(std::vector<Window> all, CutWindows(corpus, tokenizer, Split::kEvaluation, length, &pool));
  Rng rng(0, absl::StrCat("card/", info.name));
  const std::vector<Window> windows = SelectWindows(std::move(all), count, rng);
  domain.windows = static_cast<int64_t>(windows.size());
  std::vector<absl::Span<const int32_t>> ids;
  std::set<std::string> documents;
  for (const Window& w : windows) {
    ids.push_back(w.ids);
    documents.insert(w.document);
  }
  domain.documents = static_cast<int64_t>(documents.size());
  Tracer tracer(model.ends, ids, pool);
  for (size_t l = 0; l < model.layers.size(); ++l) tracer.Advance(static_cast<int>(l), *model.layers[l], pool);
  const ModelTrace trace = tracer.Finish();
  std::vector<double> nll(windows.size());
  std::vector<absl::Status> status(windows.size());
  pool.ParallelFor(windows.size(), [&](int64_t w) {
    const auto score = ScoreWindow(model.ends, ids[w], trace.hidden[w].view());
    status[w] = score.status();
    if (score.ok()) nll[w] = score->nll();
  });
  double sum = 0;
  int64_t characters = 0;
  for (size_t w = 0; w < windows.size(); ++w) {
    EAQ_RETURN_IF_ERROR(Annotate(status[w], absl::StrCat("corpus ", info.name, ", window ", w)));
    sum += nll[w];
    characters += Characters(tokenizer.Decode(ids[w].subspan(1)));
  }
  domain.nll = sum / static_cast<double>(windows.size());
  domain.bits_per_character = sum * static_cast<double>(length - 1) / std::log(2.0) / static_cast<double>(characters);
  domain.share.resize(model.layers.size());
  for (const auto& [layer, chosen] : trace.experts) {
    domain.share[layer] = ExpertUse(chosen, model.ends.config().num_experts);
  }
  return domain;
}

}  // namespace

absl::StatusOr<ModelCard> MeasureModel(const std::string& folder, int64_t windows, int64_t window, ThreadPool& pool) {
  EAQ_ASSIGN_OR_RETURN(const auto source, OpenModel(folder));
  EAQ_ASSIGN_OR_RETURN(OuterParams outer, source->LoadOuter());
  LoadedModel model{ModelEnds(source->config(), std::move(outer)), {}};
  for (int l = 0; l < source->config().num_layers; ++l) {
    EAQ_ASSIGN_OR_RETURN(LayerParams params, source->LoadLayer(l));
    EAQ_ASSIGN_OR_RETURN(auto layer, BuildLayer(source->config(), std::move(params)));
    model.layers.push_back(std::move(layer));
  }
  EAQ_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(JoinPath(folder, "tokenizer.json")));
  ModelCard card;
  card.name = Basename(folder);
  card.config = source->config();
  const ParameterCount count = CountParameters(card.config);
  card.parameters = count.total;
  card.active = count.active;
  EAQ_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(JoinPath(folder, "model.safetensors")));
  card.model_sha256 = Sha256Hex(bytes);
  card.tokenizer_sha256 = tokenizer->hash();
  card.window = window;
  for (const CorpusInfo& info : DefaultCorpora()) {
    EAQ_ASSIGN_OR_RETURN(CardDomain domain, MeasureDomain(info, model, *tokenizer, windows, window, pool));
    card.domains.push_back(std::move(domain));
  }
  const std::string log = JoinPath(folder, "train_log.tsv");
  if (FileExists(log)) {
    EAQ_ASSIGN_OR_RETURN(card.log, ReadTrainLog(log));
  }
  return card;
}

double TotalVariation(const std::vector<double>& p, const std::vector<double>& q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::fabs(p[i] - q[i]);
  return sum / 2;
}

std::string RenderCard(const ModelCard& card) {
  const ModelConfig& c = card.config;
  const bool own = !card.log.empty();  // trained by this project
  std::string parts = absl::StrFormat("%d heads", c.num_heads);
  if (c.num_kv_heads != c.num_heads) absl::StrAppend(&parts, " on ", c.num_kv_heads, " of keys and values");
  absl::StrAppendFormat(&parts, ",\n%d experts of width %d per layer, top-%d%s", c.num_experts, c.expert_width,
                        c.experts_per_token, c.norm_topk_prob ? " renormalised" : "");
  if (c.shared_width > 0) absl::StrAppend(&parts, ", a shared expert of width ", c.shared_width);
  if (!c.dense_layers.empty()) {
    absl::StrAppend(&parts, ", dense layers (", absl::StrJoin(c.dense_layers, ", "), ") of width ", c.dense_width);
  }
  std::string out = absl::StrFormat(
      "# %s\n\nMade by `eaq card`; do not edit. A mixture-of-experts language model of the %s family%s:\n"
      "%.2f M parameters (%.2f M active per token), %d layers, hidden %d, %s,\n"
      "vocabulary %d, context %d tokens.\n\n"
      "- model.safetensors: sha256 %s\n- tokenizer.json: sha256 %s\n",
      card.name, c.model_type, own ? ", trained by this project" : "", card.parameters / 1e6, card.active / 1e6,
      c.num_layers, c.hidden_size, parts, c.vocab_size, c.max_position_embeddings, card.model_sha256,
      card.tokenizer_sha256);
  if (own) {
    const TrainLogRow& last = card.log.back();
    absl::StrAppendFormat(
        &out,
        "\n## How it was made\n\n`eaq train --spec=models/%s/train.textproto`: %d steps, %.1f M tokens seen, %.1f per "
        "parameter, last training loss\n%.3f nats per token. The loss curve is loss.svg, its numbers train_log.tsv.\n"
        "The same build of the program on the same kind of processor makes the same bytes again; others round "
        "differently.\nStored as bfloat16.\n\n![training loss](loss.svg)\n",
        card.name, last.step, last.tokens / 1e6, static_cast<double>(last.tokens) / card.parameters, last.nll);
  }
  absl::StrAppend(
      &out, "\n## Data\n\n",
      own ? "Debian packages, split by document; the model saw the training split alone.\n\n"
          : "What it was trained on is not known here. It is measured on Debian packages, split by document:\n\n",
      "| corpus | package | version | training tokens | sha256 of the corpus |\n| --- | --- | --- | ---: | --- |\n");
  for (const CardDomain& d : card.domains) {
    absl::StrAppendFormat(&out, "| %s | %s | %s | %d | %s |\n", d.name, d.package, d.version, d.train_tokens,
                          d.sha256.substr(0, 16));
  }
  absl::StrAppendFormat(&out,
                        "\n## How good it is\n\nOn the evaluation split; windows of %d tokens, each alone, its first "
                        "token not predicted. Perplexity is per token of\nthis tokenizer; bits per character compare "
                        "across tokenizers.\n\n"
                        "| corpus | windows | documents | nats per token | perplexity | bits per character |\n"
                        "| --- | ---: | ---: | ---: | ---: | ---: |\n",
                        card.window);
  for (const CardDomain& d : card.domains) {
    absl::StrAppendFormat(&out, "| %s | %d | %d | %.4f | %.2f | %.3f |\n", d.name, d.windows, d.documents, d.nll,
                          std::exp(d.nll), d.bits_per_character);
  }
  out += "\n## Expert use\n\nShare of the assignments in per cent, on the same windows.\n";
  for (int64_t l = 0; l < c.num_layers; ++l) {
    if (!c.IsMoe(l)) continue;
    double largest = 0, sum = 0, least = 1;
    int pairs = 0;
    for (size_t i = 0; i < card.domains.size(); ++i) {
      for (size_t j = i + 1; j < card.domains.size(); ++j) {
        const double tv = TotalVariation(card.domains[i].share[l], card.domains[j].share[l]);
        largest = std::max(largest, tv);
        sum += tv;
        ++pairs;
      }
    }
    for (int64_t e = 0; e < c.num_experts; ++e) {
      double mean = 0;
      for (const CardDomain& d : card.domains) mean += d.share[l][e] / static_cast<double>(card.domains.size());
      least = std::min(least, mean);
    }
    absl::StrAppendFormat(&out,
                          "\nLayer %d: least used expert %.1f %% over all domains (even use: %.1f %%); total variation "
                          "between two domains %.2f on average,\n%.2f at most.\n\n| corpus |",
                          l, 100 * least, 100.0 / c.num_experts, pairs > 0 ? sum / pairs : 0, largest);
    for (int64_t e = 0; e < c.num_experts; ++e) absl::StrAppend(&out, " ", e, " |");
    absl::StrAppend(&out, "\n| --- |");
    for (int64_t e = 0; e < c.num_experts; ++e) absl::StrAppend(&out, " ---: |");
    out += "\n";
    for (const CardDomain& d : card.domains) {
      absl::StrAppend(
          &out, "| ", d.name, " |",
          absl::StrJoin(d.share[l], " |", [](std::string* s, double v) { absl::StrAppendFormat(s, " %.1f", 100 * v); }),
          " |\n");
    }
  }
  out +=
      "\n## What it is good for\n\nTo compare quantization methods in minutes, on experts that specialise by domain "
      "(see "
      "above).\n\n## What it is not good for\n\nAnything a language model is for: it is far too small to know facts. A "
      "difference between methods here is a difference on\nthis checkpoint; large models have activation outliers and "
      "redundancy that this one need not have, so neither sizes nor\nrankings carry over unchecked.\n";
  return out;
}

std::string RenderLossSvg(const std::vector<TrainLogRow>& log) {
  constexpr double kWidth = 760, kHeight = 320, kLeft = 48, kRight = 744, kTop = 16, kBottom = 280;
  double low = log[0].nll, high = log[0].nll;
  for (const TrainLogRow& row : log) {
    low = std::min(low, row.nll);
    high = std::max(high, row.nll);
  }
  low = std::floor(low);
  high = std::max(low + 1, std::ceil(high));
  const double tokens = static_cast<double>(std::max<int64_t>(1, log.back().tokens));
  const auto x = [&](double t) { return kLeft + (kRight - kLeft) * t / tokens; };
  const auto y = [&](double nll) { return kBottom - (kBottom - kTop) * (nll - low) / (high - low); };
  std::string svg = absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n<title>Training loss in nats per token against tokens seen</title>\n"
      "<style>text{fill:#333}.g{stroke:#ddd}.l{stroke:#0072b2;fill:none;stroke-width:1.5}"
      "@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#444}.l{stroke:#56b4e9}}</style>\n",
      kWidth, kHeight);
  for (double nll = low; nll <= high + 1e-9; nll += 1) {
    absl::StrAppendFormat(&svg,
                          "<path class=\"g\" d=\"M%.1f %.1fH%.1f\"/><text x=\"%.1f\" y=\"%.1f\" "
                          "text-anchor=\"end\">%.0f</text>\n",
                          kLeft, y(nll), kRight, kLeft - 8, y(nll) + 4, nll);
  }
  double step = std::pow(10, std::floor(std::log10(tokens / 4)));
  while (tokens / step > 8) step *= step * 2 > tokens ? 1.5 : 2;
  for (double t = 0; t <= tokens; t += step) {
    absl::StrAppendFormat(&svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g M</text>\n", x(t), kBottom + 18,
                          t / 1e6);
  }
  absl::StrAppendFormat(&svg,
                        "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">tokens seen; loss in nats per token"
                        "</text>\n<polyline class=\"l\" points=\"",
                        (kLeft + kRight) / 2, kBottom + 36);
  for (const TrainLogRow& row : log) absl::StrAppendFormat(&svg, "%.1f,%.1f ", x(row.tokens), y(row.nll));
  svg += "\"/>\n</svg>\n";
  return svg;
}

}  // namespace eaq
