#include "eaq/recipe/stage_bytes.h"

#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/bytes.h"
#include "eaq/base/status_macros.h"
#include "eaq/tensor/matrix_bytes.h"

namespace eaq {
namespace {

absl::Status Damaged(absl::string_view what, absl::string_view bytes) {
  return absl::InvalidArgumentError(absl::StrCat("not a ", what, ": ", bytes.size(), " bytes that do not fit"));
}

void PutId(const LinearId& id, ByteWriter& out) {
  out.Number(id.layer).Number(static_cast<int>(id.role)).Number(id.expert);
}
LinearId TakeId(ByteReader& in) {
  LinearId id;
  id.layer = in.Number<int>();
  id.role = static_cast<Role>(in.Number<int>());
  id.expert = in.Number<int>();
  return id;
}

void PutOnline(const OnlineTransform& online, ByteWriter& out) {
  out.Number<uint64_t>(online.steps.size());
  for (const OnlineStep& step : online.steps) {
    out.Number(static_cast<int>(step.kind)).Array(absl::MakeConstSpan(step.divisors));
    PutMatrix(step.rotation, out);
    out.Array(absl::MakeConstSpan(step.permutation)).Number(step.block).Number(step.stride);
  }
}
bool TakeOnline(ByteReader& in, OnlineTransform* online) {
  const uint64_t steps = in.Number<uint64_t>();
  for (uint64_t i = 0; i < steps && in.ok(); ++i) {
    OnlineStep& step = online->steps.emplace_back();
    const int kind = in.Number<int>();
    if (kind < 0 || kind > static_cast<int>(OnlineStep::Kind::kHadamard)) return false;
    step.kind = static_cast<OnlineStep::Kind>(kind);
    in.Array(&step.divisors);
    if (!TakeMatrix(in, &step.rotation)) return false;
    in.Array(&step.permutation);
    step.block = in.Number<int64_t>();
    step.stride = in.Number<int64_t>();
  }
  return in.ok();
}

}  // namespace

std::string ProfileBytes(const LayerProfile& profile) {
  ByteWriter out;
  out.Number<uint64_t>(profile.inputs.size());
  for (const auto& [id, s] : profile.inputs) {
    PutId(id, out);
    out.Number(s.tokens).Number(s.range.min).Number(s.range.max).Array(absl::MakeConstSpan(s.abs_max));
    const Hessian& h = s.second_moments;
    out.Number(h.size).Number(h.tokens).Array(absl::MakeConstSpan(h.values));
  }
  return out.Take();
}

absl::StatusOr<LayerProfile> ParseProfile(absl::string_view bytes) {
  ByteReader in(bytes);
  LayerProfile profile;
  const uint64_t count = in.Number<uint64_t>();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    InputStatistics& s = profile.inputs[TakeId(in)];
    s.tokens = in.Number<int64_t>();
    s.range.min = in.Number<float>();
    s.range.max = in.Number<float>();
    in.Array(&s.abs_max);
    Hessian& h = s.second_moments;
    h.size = in.Number<int64_t>();
    h.tokens = in.Number<int64_t>();
    in.Array(&h.values);
    if (static_cast<double>(h.size) * h.size != static_cast<double>(h.values.size())) {
      return Damaged("profile", bytes);
    }
  }
  if (!in.Finished() || profile.inputs.size() != count) return Damaged("profile", bytes);
  return profile;
}

std::string ParamsBytes(const LayerParams& params) {
  ByteWriter out;
  out.Number(params.layer);
  for (const auto* norm : {&params.input_norm, &params.post_norm, &params.q_norm, &params.k_norm}) {
    out.Array(absl::MakeConstSpan(*norm));
  }
  out.Number(params.qk_hadamard);
  // Online transforms once each, in the order of their first use; 0 stands for none.
  std::map<const OnlineTransform*, uint64_t> number = {{nullptr, 0}};
  std::vector<const OnlineTransform*> transforms;
  for (const auto& [id, linear] : params.linears) {
    if (number.emplace(linear.online.get(), number.size()).second) transforms.push_back(linear.online.get());
  }
  out.Number<uint64_t>(transforms.size());
  for (const OnlineTransform* online : transforms) PutOnline(*online, out);
  out.Number<uint64_t>(params.linears.size());
  for (const auto& [id, linear] : params.linears) {
    PutId(id, out);
    PutMatrix(linear.weight, out);
    out.Array(absl::MakeConstSpan(linear.bias)).Number(number.at(linear.online.get()));
  }
  if (params.routing != nullptr) {
    const std::optional<ExpertDrop>& drop = params.routing->drop;
    out.Array(absl::MakeConstSpan(params.routing->kept)).Number<uint8_t>(drop ? 1 : 0);
    if (drop) out.Number(drop->ratio).Number(drop->protect);
  }
  return out.Take();
}

absl::StatusOr<LayerParams> ParseParams(absl::string_view bytes) {
  ByteReader in(bytes);
  LayerParams params;
  params.layer = in.Number<int>();
  for (auto* norm : {&params.input_norm, &params.post_norm, &params.q_norm, &params.k_norm}) in.Array(norm);
  params.qk_hadamard = in.Number<int64_t>();
  std::vector<std::shared_ptr<const OnlineTransform>> transforms = {nullptr};
  const uint64_t online_count = in.Number<uint64_t>();
  for (uint64_t i = 0; i < online_count && in.ok(); ++i) {
    OnlineTransform online;
    if (!TakeOnline(in, &online)) return Damaged("layer", bytes);
    transforms.push_back(std::make_shared<const OnlineTransform>(std::move(online)));
  }
  const uint64_t count = in.Number<uint64_t>();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    LinearParams& linear = params.linears[TakeId(in)];
    if (!TakeMatrix(in, &linear.weight)) return Damaged("layer", bytes);
    in.Array(&linear.bias);
    const uint64_t which = in.Number<uint64_t>();
    if (which >= transforms.size()) return Damaged("layer", bytes);
    linear.online = transforms[which];
  }
  if (in.ok() && !in.Finished()) {
    RoutingPolicy routing;
    in.Array(&routing.kept);
    if (in.Number<uint8_t>() != 0) {
      routing.drop.emplace();
      routing.drop->ratio = in.Number<float>();
      routing.drop->protect = in.Number<float>();
    }
    params.routing = std::make_shared<const RoutingPolicy>(std::move(routing));
  }
  if (!in.Finished() || params.linears.size() != count) return Damaged("layer", bytes);
  return params;
}

std::string SolvedBytes(const SolvedLinears& solved) {
  ByteWriter out;
  out.Number<uint64_t>(solved.size());
  for (const auto& [id, linear] : solved) {
    const QuantizedMatrix& q = linear.weight;
    PutId(id, out);
    out.Number(q.grid.bits).Number(static_cast<int>(q.grid.kind)).Number(static_cast<int>(q.grid.granularity));
    out.Number(q.grid.group_size).Number(q.rows).Number(q.cols).Array(absl::MakeConstSpan(q.codes));
    out.Number<uint64_t>(q.params.size());
    for (const GridParams& p : q.params) out.Number(p.scale).Number(static_cast<int32_t>(p.zero));
    out.Array(absl::MakeConstSpan(q.group_of_column)).Text(linear.note);
  }
  // Only where there are some, behind all else: the bytes of other solutions, and their hashes, stay as they were.
  for (const auto& [id, linear] : solved) {
    if (linear.weight.group_bits.empty()) continue;
    PutId(id, out);
    out.Array(absl::MakeConstSpan(linear.weight.group_bits));
  }
  return out.Take();
}

absl::StatusOr<SolvedLinears> ParseSolved(absl::string_view bytes) {
  ByteReader in(bytes);
  SolvedLinears solved;
  const uint64_t count = in.Number<uint64_t>();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    SolvedLinear& linear = solved[TakeId(in)];
    QuantizedMatrix& q = linear.weight;
    q.grid.bits = in.Number<int>();
    q.grid.kind = static_cast<GridKind>(in.Number<int>());
    q.grid.granularity = static_cast<Granularity>(in.Number<int>());
    q.grid.group_size = in.Number<int64_t>();
    q.rows = in.Number<int64_t>();
    q.cols = in.Number<int64_t>();
    in.Array(&q.codes);
    const uint64_t grids = in.Number<uint64_t>();
    for (uint64_t g = 0; g < grids && in.ok(); ++g) {
      const float scale = in.Number<float>();
      const auto zero = static_cast<float>(in.Number<int32_t>());
      q.params.push_back({scale, q.grid.kind == GridKind::kBinary ? q.grid.fixed_zero() : zero});
    }
    in.Array(&q.group_of_column);
    linear.note = in.Text();
  }
  while (in.ok() && !in.Finished()) {
    const auto it = solved.find(TakeId(in));
    if (it == solved.end()) return Damaged("solved layer", bytes);
    QuantizedMatrix& q = it->second.weight;
    in.Array(&q.group_bits);
    EAQ_RETURN_IF_ERROR(ValidateGrid(q.grid));
    EAQ_RETURN_IF_ERROR(ValidateGroupBits(q.grid, q.cols, q.group_bits));
    for (size_t i = 0; i < q.params.size() && !q.group_bits.empty(); ++i) {
      const GridSpec grid = q.GridOfGroup(static_cast<int64_t>(i) % q.groups_per_row());
      if (grid.kind == GridKind::kBinary) q.params[i].zero = grid.fixed_zero();
    }
  }
  if (!in.Finished() || solved.size() != count) return Damaged("solved layer", bytes);
  for (const auto& [id, linear] : solved) EAQ_RETURN_IF_ERROR(ValidateQuantized(linear.weight));
  return solved;
}

std::string WindowsBytes(const std::vector<CalibrationWindow>& windows) {
  ByteWriter out;
  out.Number<uint64_t>(windows.size());
  for (const CalibrationWindow& w : windows) {
    out.Text(w.domain).Text(w.window.document).Array(absl::MakeConstSpan(w.window.ids));
  }
  return out.Take();
}

absl::StatusOr<std::vector<CalibrationWindow>> ParseWindows(absl::string_view bytes) {
  ByteReader in(bytes);
  std::vector<CalibrationWindow> windows;
  const uint64_t count = in.Number<uint64_t>();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    CalibrationWindow w;
    w.domain = in.Text();
    w.window.document = in.Text();
    in.Array(&w.window.ids);
    windows.push_back(std::move(w));
  }
  if (!in.Finished() || windows.size() != count) return Damaged("list of windows", bytes);
  return windows;
}

std::string NumbersBytes(const std::vector<double>& numbers) {
  return ByteWriter().Array(absl::MakeConstSpan(numbers)).Take();
}

absl::StatusOr<std::vector<double>> ParseNumbers(absl::string_view bytes) {
  ByteReader in(bytes);
  std::vector<double> numbers;
  in.Array(&numbers);
  if (!in.Finished()) return Damaged("list of numbers", bytes);
  return numbers;
}

std::string NumberListsBytes(const std::vector<std::vector<double>>& lists) {
  ByteWriter out;
  out.Number<uint64_t>(lists.size());
  for (const std::vector<double>& list : lists) out.Array(absl::MakeConstSpan(list));
  return out.Take();
}

absl::StatusOr<std::vector<std::vector<double>>> ParseNumberLists(absl::string_view bytes) {
  ByteReader in(bytes);
  std::vector<std::vector<double>> lists;
  const auto count = in.Number<uint64_t>();
  if (count > bytes.size()) return Damaged("lists of numbers", bytes);
  lists.resize(count);
  for (std::vector<double>& list : lists) in.Array(&list);
  if (!in.Finished()) return Damaged("lists of numbers", bytes);
  return lists;
}

std::string StatesBytes(const std::vector<Matrix>& states) {
  ByteWriter out;
  out.Number<uint64_t>(states.size());
  for (const Matrix& x : states) PutMatrix(x, out);
  return out.Take();
}

absl::StatusOr<std::vector<Matrix>> ParseStates(absl::string_view bytes) {
  ByteReader in(bytes);
  std::vector<Matrix> states;
  const uint64_t count = in.Number<uint64_t>();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    if (!TakeMatrix(in, &states.emplace_back())) return Damaged("list of hidden states", bytes);
  }
  if (!in.Finished() || states.size() != count) return Damaged("list of hidden states", bytes);
  return states;
}

}  // namespace eaq
