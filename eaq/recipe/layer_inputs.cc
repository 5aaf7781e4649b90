#include "eaq/recipe/layer_inputs.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "eaq/base/status_macros.h"
#include "eaq/recipe/profile.h"

namespace eaq {
namespace {

class Collector : public LayerObserver {
 public:
  explicit Collector(const std::set<LinearId>& wanted) : wanted_(wanted) {}
  void OnLinearInput(const LinearId& id, ConstMatrixView x, absl::Span<const int32_t>) override {
    if (wanted_.count(id) > 0) rows_.emplace(id, Matrix(x));
  }
  const Matrix* Find(const LinearId& id) const {
    const auto it = rows_.find(id);
    return it == rows_.end() ? nullptr : &it->second;
  }

 private:
  const std::set<LinearId>& wanted_;
  std::map<LinearId, Matrix> rows_;
};

}  // namespace

absl::StatusOr<std::map<LinearId, Matrix>> CollectInputs(const DecoderLayer& layer, absl::Span<const Matrix> hidden,
                                                         const std::vector<LinearId>& linears, const QuantizeOps& ops,
                                                         ThreadPool& pool) {
  const std::set<LinearId> wanted(linears.begin(), linears.end());
  std::vector<Collector> windows(hidden.size(), Collector(wanted));
  std::vector<Matrix> states(hidden.begin(), hidden.end());
  std::vector<LayerObserver*> observers;
  for (Collector& window : windows) observers.push_back(&window);
  EAQ_RETURN_IF_ERROR(ops.ForwardLayer(layer, NoCodes, absl::MakeSpan(states), observers, pool));
  std::map<LinearId, Matrix> result;
  for (const LinearId& id : wanted) {
    const Linear& linear = *layer.linears().at(id);
    int64_t rows = 0;
    for (const Collector& window : windows) rows += window.Find(id) == nullptr ? 0 : window.Find(id)->rows();
    Matrix all(rows, linear.in_features());
    float* to = all.data();
    for (const Collector& window : windows) {
      const Matrix* x = window.Find(id);
      if (x != nullptr) to = std::copy_n(x->data(), x->size(), to);
    }
    if (linear.online() != nullptr) linear.online()->ApplyToInput(all.view());
    result.emplace(id, std::move(all));
  }
  return result;
}

std::vector<LinearId> InputOwners(const std::map<LinearId, GridSpec>& plan) {
  std::vector<LinearId> owners;
  for (const auto& [id, grid] : plan) owners.push_back(LayerProfile::InputOwner(id));
  return owners;
}

}  // namespace eaq
