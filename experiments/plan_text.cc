#include "experiments/plan_text.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "eaq/model/linear_id.h"

namespace eaq {
namespace {

// "q", "expert down", "router"; what is not an address stays as it is.
std::string Kind(const std::string& id, int* layer) {
  const absl::StatusOr<LinearId> parsed = LinearId::Parse(id);
  *layer = parsed.ok() ? parsed->layer : -1;
  if (!parsed.ok()) return id;
  return absl::StrCat(parsed->expert >= 0 ? "expert " : "", RoleName(parsed->role));
}

// "0-3, 5"
std::string Ranges(const std::set<int>& numbers) {
  std::vector<std::string> parts;
  for (auto it = numbers.begin(); it != numbers.end();) {
    const int first = *it;
    int last = first;
    while (++it != numbers.end() && *it == last + 1) ++last;
    parts.push_back(first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last));
  }
  return absl::StrJoin(parts, ", ");
}

std::string Width(int bits) { return bits == 0 ? "pruned" : absl::StrCat(bits, " bits"); }

// All linears of one kind.
struct KindRow {
  std::set<int> layers;
  int count = 0;
  std::map<int, int> by_bits;
  std::set<std::string> inputs, before;

  std::string Weights() const {
    if (by_bits.size() == 1) return Width(by_bits.begin()->first);
    std::vector<std::string> parts;
    for (const auto& [bits, n] : by_bits) parts.push_back(absl::StrCat(Width(bits), " (", n, ")"));
    return absl::StrJoin(parts, ", ");
  }
  // All but the kind and the count, as cells.
  std::vector<std::string> Cells() const {
    return {Ranges(layers), Weights(), absl::StrJoin(inputs, "; "), absl::StrJoin(before, "; ")};
  }
};

// Kinds in the order of their first linear.
std::vector<std::pair<std::string, KindRow>> Kinds(const TrialResult& result) {
  std::vector<std::pair<std::string, KindRow>> kinds;
  std::map<std::string, size_t> place;
  for (const LinearReport& linear : result.linear()) {
    int layer = -1;
    const std::string kind = Kind(linear.id(), &layer);
    const auto [at, fresh] = place.emplace(kind, kinds.size());
    if (fresh) kinds.emplace_back(kind, KindRow());
    KindRow& row = kinds[at->second].second;
    if (layer >= 0) row.layers.insert(layer);
    ++row.count;
    ++row.by_bits[linear.bits()];
    if (linear.bits() == 0) continue;  // reads nothing
    row.inputs.insert(linear.has_activation() ? linear.activation() : Width(16));
    if (linear.has_online()) row.before.insert(linear.online());
  }
  return kinds;
}

}  // namespace

std::vector<std::vector<std::string>> PlanTable(const TrialResult& result) {
  std::vector<std::vector<std::string>> table = {{"linears", "count", "layers", "weights", "inputs", "before them"}};
  std::vector<std::vector<std::string>> names;
  std::vector<int> counts;
  std::vector<std::vector<std::string>> cells;
  for (const auto& [kind, row] : Kinds(result)) {
    const auto same = std::find(cells.begin(), cells.end(), row.Cells());
    const size_t at = same - cells.begin();
    if (same == cells.end()) {
      cells.push_back(row.Cells());
      names.emplace_back();
      counts.push_back(0);
    }
    names[at].push_back(kind);
    counts[at] += row.count;
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    std::vector<std::string> line = {absl::StrJoin(names[i], ", "), absl::StrCat(counts[i])};
    line.insert(line.end(), cells[i].begin(), cells[i].end());
    table.push_back(std::move(line));
  }
  return table;
}

std::vector<std::string> RouterNotes(const TrialResult& result) {
  std::vector<std::string> notes;
  for (const LinearReport& linear : result.linear()) {
    const absl::StatusOr<LinearId> id = LinearId::Parse(linear.id());
    if (!id.ok() || id->role != Role::kRouter || linear.note().empty()) continue;
    notes.push_back(absl::StrCat(linear.id(), ": ", linear.note()));
  }
  return notes;
}

std::string LeftAt16Bits(const TrialSpec& spec, const TrialResult& result) {
  std::vector<std::string> weights, inputs, parts = {"embedding, head and norms"};
  for (const auto& [kind, row] : Kinds(result)) {
    if (row.by_bits.count(16) > 0) weights.push_back(kind);
    if (row.inputs.count(Width(16)) > 0) inputs.push_back(kind);
  }
  if (!weights.empty()) parts.push_back(absl::StrCat("weights of ", absl::StrJoin(weights, ", ")));
  if (!inputs.empty()) parts.push_back(absl::StrCat("inputs of ", absl::StrJoin(inputs, ", ")));
  const Grid& operands = spec.scheme().attention_operands();
  if (!spec.scheme().has_attention_operands() || operands.bits() >= 16) parts.push_back("queries, keys and values");
  return absl::StrJoin(parts, "; ");
}

}  // namespace eaq
