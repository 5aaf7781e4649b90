// Fuzzy c-means of numbers on a line (Bezdek, "Pattern Recognition with Fuzzy Objective Function Algorithms", 1981):
// every value belongs to every cluster to a degree, and the degrees of a value sum to 1.
//
//   EAQ_ASSIGN_OR_RETURN(const FuzzyClusters found, FuzzyMeans(significances, 4, {}));
//   found.degree[i][3];   // how far value i belongs to the cluster of the largest centre
#ifndef EAQ_QUANT_FUZZY_CLUSTERS_H_
#define EAQ_QUANT_FUZZY_CLUSTERS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace eaq {

struct FuzzyOptions {
  double fuzzifier = 2;     // above 1; near 1 the clusters are those of k-means
  double tolerance = 1e-5;  // stops when the degrees move by less (Frobenius norm)
  int most_rounds = 300;
};

struct FuzzyClusters {
  std::vector<double> centre;               // rising
  std::vector<std::vector<double>> degree;  // [value][cluster]
  int rounds = 0;
};

// Lowers sum_ik degree^m (x_i - centre_k)^2 from centres at the quantiles (k + 1/2) / K, so the result needs no seed:
//   degree_ik = 1 / sum_h (|x_i - c_k| / |x_i - c_h|)^(2 / (m - 1)),   c_k = sum_i degree^m x_i / sum_i degree^m
// with the least distance of 1e-15 times the values' spread. Where all values are equal, all centres are that value and
// all degrees 1/K. InvalidArgument: no values, one that is not finite, K < 1, a fuzzifier of 1 or less.
absl::StatusOr<FuzzyClusters> FuzzyMeans(absl::Span<const double> values, int k, const FuzzyOptions& options);

// The cluster of each value: that of the highest degree, the lower one of equals; but where the next lower cluster's
// degree comes within OVERLAP of it, that one.
std::vector<int> LowerOfOverlapping(const FuzzyClusters& clusters, double overlap);

}  // namespace eaq

#endif  // EAQ_QUANT_FUZZY_CLUSTERS_H_
