#include "eaq/methods/fitted_gptq/paired_inputs.h"

#include <algorithm>
#include <cstdint>
#include <set>

#include "absl/types/span.h"
#include "kernels/backend.h"

namespace eaq::fitted_gptq {
namespace {

struct Rows {
  Matrix x;
  std::vector<int32_t> tokens;  // of a routed expert
};

class Recorder : public LayerObserver {
 public:
  explicit Recorder(const std::set<LinearId>& wanted) : wanted_(wanted) {}
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t> tokens) override {
    if (wanted_.count(id) > 0) rows_[id] = {Matrix(x), {tokens.begin(), tokens.end()}};
  }
  const Rows* Find(const LinearId& id) const {
    const auto it = rows_.find(id);
    return it == rows_.end() ? nullptr : &it->second;
  }

 private:
  const std::set<LinearId>& wanted_;
  std::map<LinearId, Rows> rows_;
};

Matrix Gather(const Matrix& x, const std::vector<int32_t>& tokens) {
  Matrix out(static_cast<int64_t>(tokens.size()), x.cols());
  for (int64_t i = 0; i < out.rows(); ++i) std::copy_n(x.row(tokens[i]), x.cols(), out.row(i));
  return out;
}

// What an expert's down reads for the rows X of its gate and up.
Matrix Activated(const DecoderLayer& layer, const LinearId& down, const Matrix& x) {
  const Linear& gate = *layer.linears().at({down.layer, Role::kGate, down.expert});
  const Linear& up = *layer.linears().at({down.layer, Role::kUp, down.expert});
  Matrix a(x.rows(), gate.out_features()), b(x.rows(), up.out_features());
  gate.Forward(x.const_view(), a.view());
  up.Forward(x.const_view(), b.view());
  kernels::SiluMul(a.data(), b.data(), a.data(), a.size());
  return a;
}

}  // namespace

std::map<LinearId, RowPair> PairInputs(const DecoderLayer& layer, const std::vector<LinearId>& owners,
                                       const Matrix& own, const Matrix* full) {
  std::set<LinearId> wanted(owners.begin(), owners.end());
  int index = 0;
  for (const LinearId& id : owners) {
    index = id.layer;
    if (id.expert >= 0) wanted.insert({id.layer, Role::kGate, id.expert});
  }
  const LinearId router{index, Role::kRouter};
  wanted.insert(router);
  Recorder mine(wanted), theirs(wanted);
  Matrix state = own;
  layer.Forward(state.view(), &mine);
  if (full != nullptr) {
    state = *full;
    layer.Forward(state.view(), &theirs);
  }
  std::map<LinearId, RowPair> pairs;
  for (const LinearId& id : owners) {
    RowPair& pair = pairs[id];
    const Linear& linear = *layer.linears().at(id);
    const Rows* rows = mine.Find(id);
    if (rows == nullptr || rows->x.rows() == 0) {
      pair.own = pair.full = Matrix(0, linear.in_features());
      continue;
    }
    pair.own = rows->x;
    if (full == nullptr) {
      pair.full = pair.own;
    } else if (id.expert < 0) {
      pair.full = theirs.Find(id)->x;
    } else {
      const Rows& gate = *mine.Find({id.layer, Role::kGate, id.expert});
      pair.full = Gather(theirs.Find(router)->x, gate.tokens);
      if (id.role == Role::kDown) pair.full = Activated(layer, id, pair.full);
    }
    if (linear.online() != nullptr) {
      linear.online()->ApplyToInput(pair.own.view());
      linear.online()->ApplyToInput(pair.full.view());
    }
  }
  return pairs;
}

}  // namespace eaq::fitted_gptq
