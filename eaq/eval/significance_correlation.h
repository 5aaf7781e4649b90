// Does the order of the experts change with the data set? MoQa's premise (moqa.md 8, T4), from the tables that a trial
// recorded.
#ifndef EAQ_EVAL_SIGNIFICANCE_CORRELATION_H_
#define EAQ_EVAL_SIGNIFICANCE_CORRELATION_H_

#include "eaq/proto/trial.pb.h"

namespace eaq {

// For every layer and two domains that have a table "significance" in RESULT, Spearman's correlation of the experts'
// significances as metric significance_rank_correlation, domain "a | b", a before b in RESULT. Left out where one side
// is constant or there are fewer than 3 experts.
void AddSignificanceCorrelations(TrialResult& result);

}  // namespace eaq

#endif  // EAQ_EVAL_SIGNIFICANCE_CORRELATION_H_
