// Statistics of a comparison: is method A better than method B, on the same windows of text?
//
//   Resampler resampler(/*seed=*/7);
//   EAQ_ASSIGN_OR_RETURN(PairedResult r, ComparePaired(a, b, options, resampler));   // of a - b
//   r.mean = -0.0123, r.low .. r.high = -0.0150 .. -0.0096, r.p_value = 1e-4
//
// The unit of measurement is a window; windows of one document are not independent, so documents are the clusters of
// every formula here. Windows all have the same number of tokens and weigh the same. With d_i = a_i - b_i for the N
// windows, G documents, D_g = sum of d_i over document g, n_g its number of windows:
//
//   mean             m  = sum_i d_i / N
//   standard error   se = sqrt( G/(G-1) * sum_g (D_g - n_g m)^2 ) / N
//                    the cluster-robust (CR1) variance of a regression on a constant; Cameron & Miller, "A
//                    Practitioner's Guide to Cluster-Robust Inference", J. Human Resources 50 (2015), eq. 11-12; with
//                    k = 1 regressor their factor G/(G-1) (N-1)/(N-k) is G/(G-1). Infinite for G = 1.
//   interval         percentile bootstrap: G documents drawn with replacement, m* = sum D / sum n, `draws` times;
//                    Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), 13.3
//   p value          sign flips of whole documents, T* = |sum_g s_g D_g|, s_g = +-1: the share of T* >= T. All 2^G
//                    when G <= 16 (exact, the identity among them), else `draws` random ones and
//                    p = (1 + hits) / (1 + draws); Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010)
//
// Two-sided throughout. All sums are float64 in index order: same numbers on every machine, for any thread count.
// A NaN or infinity in the input is InvalidArgument that names the window: it never passes.
#ifndef EAQ_EVAL_STATISTICS_H_
#define EAQ_EVAL_STATISTICS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace eaq {

// One metric per window, and which document each window comes from.
struct WindowValues {
  std::vector<double> value;
  std::vector<std::string> document;  // as long as `value`
};

enum class Verdict { kBetter, kWorse, kEquivalent, kUndecided };
absl::string_view VerdictName(Verdict verdict);  // "better", "worse", "equivalent", "undecided"

struct PairedOptions {
  double margin = 0.005;  // nats per token: differences inside +-margin do not matter in practice
  double alpha = 0.05;    // level of tests, and 1 - alpha of intervals
  int draws = 10000;      // bootstrap draws, and sign flips when not exact
};

struct PairedResult {
  int64_t windows = 0;
  int64_t documents = 0;
  double mean = 0;            // of a - b
  double standard_error = 0;  // infinite for one document
  double low = 0, high = 0;   // bootstrap interval
  double p_value = 1;
  bool exact = false;  // p_value comes from all sign flips
  double p_holm = 1;   // p_value until a family is corrected
  Verdict verdict = Verdict::kUndecided;
};

// Where resamples come from: the tables of document indices and signs for G documents, made once and used by every
// comparison (the same resamples for all of them: differences between comparisons are no luck of the draw). Not safe
// for concurrent use. The first comparison with a new G makes its tables: 10 ns and 5 bytes for each of draws * G.
class Resampler {
 public:
  explicit Resampler(uint64_t seed = 0) : seed_(seed) {}
  // [draws x G] indices below G; Philox stream "statistics/bootstrap/G".
  const std::vector<uint32_t>& Indices(int64_t documents, int draws);
  // [draws x G] of +1 and -1; Philox stream "statistics/signs/G".
  const std::vector<int8_t>& Signs(int64_t documents, int draws);

 private:
  uint64_t seed_;
  std::map<std::pair<int64_t, int>, std::vector<uint32_t>> indices_;
  std::map<std::pair<int64_t, int>, std::vector<int8_t>> signs_;
};

// a - b; `verdict` by Decide on p_value. InvalidArgument when the two do not have the same windows (count, documents in
// order), have none, or hold a value that is not finite.
absl::StatusOr<PairedResult> ComparePaired(const WindowValues& a, const WindowValues& b, const PairedOptions& options,
                                           Resampler& resampler);

// What a difference a - b of a loss (lower is better) means, in this order:
//   equivalent  the whole interval lies inside +-margin
//   better      the interval lies below zero and p_holm < alpha;  worse: above zero likewise
//   undecided   anything else: more windows are needed
// Equivalence comes first: a difference inside the margin does not matter, however surely it is there.
Verdict Decide(const PairedResult& result, const PairedOptions& options);

// Holm's step-down adjustment (Scand. J. Statist. 6, 1979): p sorted ascending, adjusted_(i) = max over j <= i of
// min(1, (m - j) p_(j)), j from 0. Rejecting adjusted < alpha keeps the chance of any false rejection in the family
// below alpha. In the order given. InvalidArgument for a p outside [0, 1] or NaN.
absl::StatusOr<std::vector<double>> HolmAdjust(absl::Span<const double> p_values);

// Holm over FAMILY, then Decide for each member again.
absl::Status CorrectFamily(absl::Span<PairedResult* const> family, const PairedOptions& options);

// Answers that are right or wrong: McNemar's test of whether two models are right equally often on the same items.
// With b items that only the first gets right, c that only the second does, n = b + c, k = min(b, c), and f, F the
// probabilities of Binomial(n, 1/2):
//
//   exact   p = min(1, 2 F(k))
//   mid-p   p = 2 F(k) - f(k), or 1 - f(k) / 2 for b = c; Fagerland, Lydersen & Laake, "The McNemar test for binary
//           matched-pairs data: mid-p and asymptotic are better than exact conditional", BMC Med. Res. Methodol. 13:91
//           (2013): the exact test is too cautious, its mid-p hardly ever exceeds its level
//
// Items count as independent: about these very items it is the sharper test, about other items of the same making
// ComparePaired over documents (paradigms) is the honest one. Both p are 1 for n = 0.
struct McNemarResult {
  int64_t only_first = 0, only_second = 0;  // b, c
  double p_exact = 1, p_mid = 1;
};
// InvalidArgument for negative counts.
absl::StatusOr<McNemarResult> McNemar(int64_t only_first, int64_t only_second);
// Values 1 (right) and 0 (wrong) of the same items. InvalidArgument when the items differ or a value is another.
absl::StatusOr<McNemarResult> McNemar(const WindowValues& a, const WindowValues& b);

// Several calibration seeds of one recipe on the same windows: per window the mean over seeds.
struct SeedCombination {
  WindowValues mean;
  std::vector<double> seed_mean;  // over windows, one per seed: kept, and shown
  double spread = 0;              // sample standard deviation of seed_mean; 0 for one seed
};
absl::StatusOr<SeedCombination> CombineSeeds(absl::Span<const WindowValues> seeds);

// Appends PART's windows to WHOLE, its documents named "PREFIX/document": how domains are pooled.
void AppendWindows(absl::string_view prefix, const WindowValues& part, WindowValues& whole);

}  // namespace eaq

#endif  // EAQ_EVAL_STATISTICS_H_
