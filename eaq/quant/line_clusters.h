// Exact k-means of numbers on a line: clusters are runs of the sorted values, so the best partition is found by
// dynamic programming (Wang & Song, "Ckmeans.1d.dp", 2011) and needs neither seed nor restarts.
//
//   ClusterLine({1, 9, 2, 8, 50}, 3);   // {0, 1, 0, 1, 2}: clusters numbered by rising mean
#ifndef EAQ_QUANT_LINE_CLUSTERS_H_
#define EAQ_QUANT_LINE_CLUSTERS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace eaq {

// The cluster of each value, 0 .. k'-1 by rising mean, that minimises the sum of squared distances to the clusters'
// means. Equal values share a cluster, so k' is K or the number of distinct values if that is smaller. Of equally good
// partitions, the one whose last clusters begin latest. InvalidArgument: K < 1 or a value that is not finite.
absl::StatusOr<std::vector<int>> ClusterLine(absl::Span<const double> values, int k);

}  // namespace eaq

#endif  // EAQ_QUANT_LINE_CLUSTERS_H_
