#include "eaq/model/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {

absl::Status CheckSampling(const SamplingOptions& o) {
  if (!(o.temperature >= 0) || !std::isfinite(o.temperature))
    return absl::InvalidArgumentError(absl::StrCat("temperature is ", o.temperature, "; expected 0 or more"));
  if (o.top_k < 0) return absl::InvalidArgumentError(absl::StrCat("top_k is ", o.top_k, "; expected 0 or more"));
  if (!(o.top_p > 0 && o.top_p <= 1))
    return absl::InvalidArgumentError(absl::StrCat("top_p is ", o.top_p, "; expected a number in (0, 1]"));
  if (o.max_new_tokens < 0)
    return absl::InvalidArgumentError(absl::StrCat("max_new_tokens is ", o.max_new_tokens, "; expected 0 or more"));
  return absl::OkStatus();
}

int32_t SampleToken(absl::Span<const float> logits, const SamplingOptions& options, Rng& rng) {
  const auto largest = std::max_element(logits.begin(), logits.end());  // the first of equals
  if (options.temperature == 0) return static_cast<int32_t>(largest - logits.begin());
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(order.size())) order.resize(options.top_k);
  std::vector<double> p(order.size());
  double sum = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    p[i] = std::exp((static_cast<double>(logits[order[i]]) - *largest) / options.temperature);
    sum += p[i];
  }
  double kept = 0;
  size_t count = 0;
  while (count < p.size() && (count == 0 || kept < options.top_p * sum)) kept += p[count++];
  double target = rng.Uniform() * kept;
  for (size_t i = 0; i < count; ++i) {
    target -= p[i];
    if (target < 0) return order[i];
  }
  return order[count - 1];
}

absl::StatusOr<std::vector<int32_t>> Generate(int64_t vocabulary, ExtendSequence extend,
                                              absl::Span<const int32_t> prompt, const SamplingOptions& options,
                                              absl::FunctionRef<bool(int32_t)> on_token) {
  EAQ_RETURN_IF_ERROR(CheckSampling(options));
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty; at least one token is needed");
  std::vector<float> logits(vocabulary);
  std::vector<int32_t> result;
  Rng rng(options.seed, "generate");
  if (options.max_new_tokens > 0) EAQ_RETURN_IF_ERROR(extend(prompt, absl::MakeSpan(logits)));
  while (static_cast<int64_t>(result.size()) < options.max_new_tokens) {
    const int32_t token = SampleToken(logits, options, rng);
    if (token == options.stop_token) break;
    result.push_back(token);
    if (!on_token(token)) break;
    if (static_cast<int64_t>(result.size()) < options.max_new_tokens) {
      EAQ_RETURN_IF_ERROR(extend(absl::MakeConstSpan(&token, 1), absl::MakeSpan(logits)));
    }
  }
  return result;
}

absl::StatusOr<std::vector<int32_t>> Generate(const Model& model, absl::Span<const int32_t> prompt,
                                              const SamplingOptions& options,
                                              absl::FunctionRef<bool(int32_t)> on_token) {
  EAQ_RETURN_IF_ERROR(CheckSampling(options));
  EAQ_RETURN_IF_ERROR(model.CheckIds(prompt));
  KvCache cache = model.NewCache(static_cast<int64_t>(prompt.size()) + options.max_new_tokens);
  const auto extend = [&](absl::Span<const int32_t> ids, absl::Span<float> logits) {
    model.Extend(ids, cache, logits);
    return absl::OkStatus();
  };
  return Generate(model.config().vocab_size, extend, prompt, options, on_token);
}

}  // namespace eaq
