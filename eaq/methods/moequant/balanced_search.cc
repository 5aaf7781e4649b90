#include "eaq/methods/moequant/balanced_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/model/generate.h"
#include "kernels/backend.h"

namespace eaq::moequant {
namespace {

constexpr int64_t kTextsAtOnce = 16;

struct Beam {
  std::vector<int32_t> ids;     // the last of them not yet in the cache
  double log_prob = 0;          // of ids
  std::vector<int32_t> counts;  // of the tokens in the cache
  size_t slot = 0;              // of the cache that holds ids but the last
};

// A beam and a token that may follow it.
struct Candidate {
  double score;
  size_t beam;  // by rank
  int32_t token;
  double log_prob;  // of the beam and the token
};

// One text being written. Beams are in order of rank, the best first; caches do not move, beams know theirs.
struct Search {
  std::vector<Beam> beams;
  std::vector<KvCache> caches;
  int64_t warm_up = 1;  // tokens before the beams
  Rng rng;              // of the sampled warm-up
};

// The rows of a batch are the beams of all texts; each counts its own tokens' experts.
class RowCounter : public LayerObserver {
 public:
  RowCounter(int64_t experts, std::vector<Beam*> beams) : experts_(experts), beams_(std::move(beams)) {}
  void OnRouter(int layer, ConstMatrixView logits, absl::Span<const int32_t> experts,
                absl::Span<const float>) override {
    const int64_t k = static_cast<int64_t>(experts.size()) / logits.rows;
    for (size_t i = 0; i < experts.size(); ++i) ++beams_[i / k]->counts[layer * experts_ + experts[i]];
  }

 private:
  const int64_t experts_;
  const std::vector<Beam*> beams_;
};

void CopyCache(const KvCache& from, int64_t begin, KvCache& to) {
  for (size_t l = 0; l < from.layers.size(); ++l) {
    const LayerCache& source = from.layers[l];
    LayerCache& target = to.layers[l];
    const int64_t count = (source.length - begin) * source.keys.cols();
    if (count > 0) {
      std::copy_n(source.keys.row(begin), count, target.keys.row(begin));
      std::copy_n(source.values.row(begin), count, target.values.row(begin));
    }
    target.length = source.length;
  }
}

// The texts FIRST, FIRST + 1, ... of a sample, side by side.
class Batch {
 public:
  Batch(const Model& model, const SearchOptions& options, absl::Span<const char> banned, int64_t length)
      : model_(model), config_(model.config()), options_(options), banned_(banned), length_(length) {}

  void Start(int32_t first_token, int64_t warm_up, const Rng& rng) {
    Search search{.beams = {}, .caches = {}, .warm_up = warm_up, .rng = rng};
    Beam beam;
    beam.ids.push_back(first_token);
    beam.counts.assign(config_.num_layers * config_.num_experts, 0);
    search.beams.push_back(std::move(beam));
    for (int b = 0; b < options_.beams; ++b) search.caches.push_back(model_.NewCache(length_));
    searches_.push_back(std::move(search));
  }

  absl::StatusOr<std::vector<WrittenText>> Finish() {
    for (int64_t n = 1; n < length_; ++n) {
      Feed(/*with_logits=*/true);
      int64_t row = 0;
      for (Search& search : searches_) {
        const int64_t rows = search.beams.size();
        EAQ_RETURN_IF_ERROR(Grow(logits_.view().Rows(row, rows), search));
        row += rows;
      }
    }
    Feed(/*with_logits=*/false);  // the last tokens' experts
    std::vector<WrittenText> texts;
    for (Search& search : searches_) {
      const Beam* best = nullptr;
      double least = std::numeric_limits<double>::infinity();
      for (const Beam& beam : search.beams) {
        const double score = -beam.log_prob / static_cast<double>(length_) + Sigma(beam) / options_.tau;
        if (best != nullptr && !(score < least)) continue;
        best = &beam;
        least = score;
      }
      texts.push_back({best->ids, best->log_prob, least, best->counts});
    }
    return texts;
  }

 private:
  double Sigma(const Beam& beam) const {
    return ExpertImbalance(config_, beam.counts, static_cast<int64_t>(beam.ids.size()), options_.sigma);
  }

  // The last token of every beam goes through the model.
  void Feed(bool with_logits) {
    std::vector<int32_t> ids;
    std::vector<Beam*> beams;
    std::vector<KvCache*> caches;
    for (Search& search : searches_) {
      for (Beam& beam : search.beams) {
        ids.push_back(beam.ids.back());
        beams.push_back(&beam);
        caches.push_back(&search.caches[beam.slot]);
      }
    }
    RowCounter counter(config_.num_experts, std::move(beams));
    logits_.Resize(with_logits ? ids.size() : 0, config_.vocab_size);
    model_.ExtendEach(ids, caches, logits_.view(), &counter);
  }

  // One token more for the text. LOGITS: a row a beam, destroyed.
  absl::Status Grow(MatrixView logits, Search& search) const {
    std::vector<Candidate> candidates;
    std::vector<int32_t> tokens(std::min<int64_t>(options_.beams, logits.cols));
    const bool warming = static_cast<int64_t>(search.beams[0].ids.size()) < search.warm_up;
    for (size_t b = 0; b < search.beams.size(); ++b) {
      const Beam& beam = search.beams[b];
      float* row = logits.row(b);
      const double normaliser = kernels::LogSumExp(row, logits.cols);
      if (!std::isfinite(normaliser)) {
        return absl::DataLossError(absl::StrCat("the logits after ", beam.ids.size(), " tokens are not finite"));
      }
      for (int64_t v = 0; v < logits.cols; ++v) {
        if (banned_[v] != 0) row[v] = -std::numeric_limits<float>::infinity();
      }
      if (warming) {
        SamplingOptions how;
        how.temperature = options_.sampled_warm_up ? 1.0 : 0.0;
        const int32_t token = SampleToken(logits.row_span(b), how, search.rng);
        candidates.push_back({0, b, token, beam.log_prob + row[token] - normaliser});
        break;
      }
      // sigma does not know the token: the best w of a beam are its most probable w.
      const double sigma = Sigma(beam) / options_.tau, size = static_cast<double>(beam.ids.size()) + 1;
      kernels::TopK(row, logits.cols, static_cast<int64_t>(tokens.size()), tokens.data());
      for (const int32_t token : tokens) {
        if (banned_[token] != 0) break;  // fewer than w are left
        const double log_prob = beam.log_prob + row[token] - normaliser;
        candidates.push_back({-log_prob / size + sigma, b, token, log_prob});
      }
    }
    // Stable: ties stay in order of beam, then of token.
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.score < b.score; });
    if (static_cast<int64_t>(candidates.size()) > options_.beams) candidates.resize(options_.beams);
    Reorder(candidates, search);
    return absl::OkStatus();
  }

  // The candidates become the beams: log-probabilities, counts and caches follow their parents. The first child of a
  // beam takes over its cache; the others get caches of beams that end, of which only what differs is copied.
  void Reorder(const std::vector<Candidate>& candidates, Search& search) const {
    std::vector<const Beam*> owner(search.caches.size(), nullptr);  // of each cache, before
    for (const Beam& beam : search.beams) owner[beam.slot] = &beam;
    std::vector<bool> goes_on(search.beams.size(), false), free(search.caches.size(), true);
    for (const Candidate& c : candidates) {
      goes_on[c.beam] = true;
      free[search.beams[c.beam].slot] = false;
    }
    std::vector<Beam> next;
    for (const Candidate& c : candidates) {
      const Beam& parent = search.beams[c.beam];
      Beam child = parent;
      if (goes_on[c.beam]) {
        goes_on[c.beam] = false;
      } else {
        child.slot = std::find(free.begin(), free.end(), true) - free.begin();
        free[child.slot] = false;
        // Beams with the same beginning were one beam then, so the caches hold the same bits that far.
        int64_t same = 0;
        if (owner[child.slot] != nullptr) {
          const std::vector<int32_t>& other = owner[child.slot]->ids;
          same = std::mismatch(parent.ids.begin(), parent.ids.end(), other.begin()).first - parent.ids.begin();
        }
        CopyCache(search.caches[parent.slot], same, search.caches[child.slot]);
      }
      child.ids.push_back(c.token);
      child.log_prob = c.log_prob;
      next.push_back(std::move(child));
    }
    search.beams = std::move(next);
  }

  const Model& model_;
  const ModelConfig& config_;
  const SearchOptions& options_;
  const absl::Span<const char> banned_;
  const int64_t length_;
  std::vector<Search> searches_;
  Matrix logits_;
};

}  // namespace

absl::Status CheckSearch(const SearchOptions& o) {
  if (!(o.tau > 0)) return absl::InvalidArgumentError(absl::StrCat("tau is ", o.tau, "; expected above 0"));
  if (o.beams < 1 || o.beams > 256)
    return absl::InvalidArgumentError(absl::StrCat("beams is ", o.beams, "; expected 1 .. 256"));
  if (o.warm_up_min < 1 || o.warm_up_max < o.warm_up_min || o.warm_up_max > 1024) {
    return absl::InvalidArgumentError(absl::StrCat("warm_up_min is ", o.warm_up_min, " and warm_up_max ", o.warm_up_max,
                                                   "; expected 1 <= min <= max <= 1024"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WrittenText>> WriteTexts(const Model& model, const SearchOptions& options,
                                                    absl::Span<const char> banned, int64_t count, int64_t length,
                                                    uint64_t seed, ThreadPool& pool) {
  EAQ_RETURN_IF_ERROR(CheckSearch(options));
  const int64_t vocabulary = model.config().vocab_size;
  if (static_cast<int64_t>(banned.size()) != vocabulary || count < 1 || length < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("texts to write: ", count, " of ", length, " tokens, with ", banned.size(),
                     " tokens banned or not; expected at least 1 of 1, and ", vocabulary));
  }
  std::vector<int32_t> first;
  for (int32_t v = 0; v < vocabulary; ++v) {
    if (banned[v] == 0) first.push_back(v);
  }
  if (static_cast<int64_t>(first.size()) < count) {
    return absl::InvalidArgumentError(absl::StrCat("each text begins with another token, but there are ", first.size(),
                                                   " tokens for ", count, " texts; ask for fewer"));
  }
  Rng(seed, "ebss/first tokens").Shuffle(first);
  Rng lengths(seed, "ebss/warm-up lengths");
  std::vector<int64_t> warm_up(count);
  for (int64_t& n : warm_up) {
    n = options.warm_up_min + static_cast<int64_t>(lengths.Below(options.warm_up_max - options.warm_up_min + 1));
  }
  const int64_t batches = (count + kTextsAtOnce - 1) / kTextsAtOnce;
  std::vector<absl::StatusOr<std::vector<WrittenText>>> parts(batches, absl::UnknownError("not written"));
  pool.ParallelFor(batches, [&](int64_t b) {
    Batch batch(model, options, banned, length);
    for (int64_t i = b * kTextsAtOnce; i < std::min(count, (b + 1) * kTextsAtOnce); ++i) {
      batch.Start(first[i], warm_up[i], Rng(seed, absl::StrCat("ebss/warm-up/", i)));
    }
    parts[b] = batch.Finish();
  });
  std::vector<WrittenText> texts;
  for (auto& part : parts) {
    EAQ_RETURN_IF_ERROR(part.status());
    for (WrittenText& text : *part) texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace eaq::moequant
