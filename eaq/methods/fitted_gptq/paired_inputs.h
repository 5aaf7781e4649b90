// The rows of the same tokens twice: as the model that is being quantized has them, and as full precision has them.
//
//   std::map<LinearId, RowPair> rows = PairInputs(*layer, owners, hidden[w], full_hidden[w]);
//   rows.at(owner).own, rows.at(owner).full     // [n, in] each, after the owner's online transform
#ifndef EAQ_METHODS_FITTED_GPTQ_PAIRED_INPUTS_H_
#define EAQ_METHODS_FITTED_GPTQ_PAIRED_INPUTS_H_

#include <map>
#include <utility>
#include <vector>

#include "eaq/model/layer.h"
#include "eaq/model/linear_id.h"
#include "eaq/tensor/matrix.h"

namespace eaq::fitted_gptq {

struct RowPair {
  Matrix own, full;
};

// Of one window. OWNERS: inputs as profiles name them (LayerProfile::InputOwner). LAYER is the one to be quantized,
// still in full precision; OWN and FULL [tokens, hidden_size]: what comes into it. An expert's rows are those of the
// tokens that OWN sends to it: in FULL, what it would read for these tokens, whether or not they are sent there. Null:
// the rows of OWN again.
std::map<LinearId, RowPair> PairInputs(const DecoderLayer& layer, const std::vector<LinearId>& owners,
                                       const Matrix& own, const Matrix* full);

}  // namespace eaq::fitted_gptq

#endif  // EAQ_METHODS_FITTED_GPTQ_PAIRED_INPUTS_H_
