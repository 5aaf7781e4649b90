// kernels/cuda/route.h against its definition in double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda/route.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

constexpr double kEps = 0x1p-24;

EAQ_CHECK_CASE(RouterLogits) {
  Random random(c.seed());
  struct Shape {
    int64_t tokens, hidden, experts, extra;
  };
  for (const Shape s : {Shape{1, 64, 8, 0}, Shape{1, 1, 1, 0}, Shape{9, 130, 5, 3}, Shape{3, 128, 33, 4},
                        Shape{9, 132, 5, 4}, Shape{130, 36, 37, 0}, Shape{129, 33, 9, 1}}) {
    const int64_t ldx = s.hidden + s.extra;
    const std::vector<float> x = random.Normals(s.tokens * ldx), w = random.Normals(s.experts * s.hidden);
    DeviceArray<float> dx("x", x), dw("weight", w), logits("logits", s.tokens * s.experts);
    c.Expect(cuda::RouterLogits(dx.data(), ldx, dw.data(), s.tokens, s.hidden, s.experts, logits.data(), nullptr) == 0,
             "launch");
    const std::vector<float> got = logits.Download();
    for (int64_t t = 0; t < s.tokens; ++t) {
      for (int64_t e = 0; e < s.experts; ++e) {
        double sum = 0, magnitude = 0;
        for (int64_t i = 0; i < s.hidden; ++i) {
          const double product = double{x[t * ldx + i]} * w[e * s.hidden + i];
          sum += product;
          magnitude += std::fabs(product);
        }
        // A lane's chain of hidden / 32 roundings (plus the ragged end), five of the butterfly.
        const double roundings = static_cast<double>(s.hidden) / 32 + 4 + 6;
        c.Near(got[t * s.experts + e], sum, roundings * kEps * magnitude, "logit", t * s.experts + e);
      }
    }
  }
  c.Expect(cuda::RouterLogits(nullptr, 4, nullptr, 0, 4, 8, nullptr, nullptr) == 0, "no tokens");
}

struct Twin {
  std::vector<double> scores, ranked;
  std::vector<bool> open;
};

// Scores and which experts may be chosen. Ties and NaN as the header says.
Twin Scores(const float* logits, const float* bias, int64_t experts, const cuda::RouteOptions& o) {
  Twin twin;
  double largest = -INFINITY, sum = 0;
  for (int64_t e = 0; e < experts; ++e) largest = std::max(largest, double{logits[e]});
  for (int64_t e = 0; e < experts; ++e) sum += std::exp(logits[e] - largest);
  for (int64_t e = 0; e < experts; ++e) {
    const double x = logits[e];
    twin.scores.push_back(o.sigmoid ? 1 / (1 + std::exp(-x)) : std::exp(x - largest) / sum);
    twin.ranked.push_back(twin.scores[e] + (bias == nullptr ? 0 : bias[e]));
  }
  twin.open.assign(experts, o.groups == 1);
  const int64_t size = experts / o.groups;
  std::vector<double> groups;
  for (int g = 0; g < o.groups; ++g) {
    std::vector<double> sorted(twin.ranked.begin() + g * size, twin.ranked.begin() + (g + 1) * size);
    std::sort(sorted.rbegin(), sorted.rend());
    groups.push_back(o.group_by_top2 && size > 1 ? sorted[0] + sorted[1] : sorted[0]);
  }
  for (int i = 0; o.groups > 1 && i < o.chosen_groups; ++i) {
    const int64_t best = std::max_element(groups.begin(), groups.end()) - groups.begin();
    groups[best] = -INFINITY;
    std::fill_n(twin.open.begin() + best * size, size, true);
  }
  return twin;
}

// The choice must be that of the twin. Two expressions of one score differ by (experts + |x - max| + 8) eps of the
// score (terms of the sum, rounding of the difference, two units of expf, the product): where the twin's neighbours in
// rank are closer than twice that the order is not tested (with random inputs that is next to never).
void CheckChoice(Checker& c, const float* logits, const float* bias, int64_t experts, const cuda::RouteOptions& o,
                 const int32_t* chosen, const float* weights) {
  const Twin twin = Scores(logits, bias, experts, o);
  std::vector<int64_t> order;
  for (int64_t e = 0; e < experts; ++e)
    if (twin.open[e]) order.push_back(e);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return twin.ranked[a] > twin.ranked[b]; });
  double sum = 0;
  for (int i = 0; i < o.k; ++i) sum += twin.scores[chosen[i]];
  for (int i = 0; i < o.k; ++i) {
    if (!c.Expect(chosen[i] >= 0 && chosen[i] < experts, "expert ", chosen[i], " out of range")) return;
    const double error = (static_cast<double>(experts) + 24 + 8) * kEps;
    const double gap = std::fabs(twin.ranked[chosen[i]] - twin.ranked[order[i]]);
    c.Expect(chosen[i] == order[i] || (gap > 0 && gap < 4 * error), "place ", i, ": expert ", chosen[i], ", expected ",
             order[i]);
    const double want = twin.scores[chosen[i]] * o.scale / (o.renormalise ? sum : 1);
    c.Near(weights[i], want, (2 * error + o.k * kEps) * want, "weight", i);
  }
}

EAQ_CHECK_CASE(RouteTopK) {
  Random random(c.seed());
  struct Shape {
    int64_t tokens, experts;
    cuda::RouteOptions options;
    bool bias;
  };
  cuda::RouteOptions olmoe{8}, mixtral{2}, deepseek{8};
  mixtral.renormalise = true;
  deepseek.sigmoid = deepseek.renormalise = deepseek.group_by_top2 = true;
  deepseek.scale = 2.5f;
  deepseek.groups = 8;
  deepseek.chosen_groups = 4;
  cuda::RouteOptions v2{6};
  v2.groups = 8;
  v2.chosen_groups = 3;
  v2.scale = 16;
  for (const Shape& s : {Shape{9, 64, olmoe, false}, Shape{5, 8, mixtral, false}, Shape{3, 256, deepseek, true},
                         Shape{3, 160, v2, false}, Shape{1, 1, cuda::RouteOptions{1}, false},
                         Shape{2, 33, cuda::RouteOptions{32}, true}, Shape{1, 512, cuda::RouteOptions{3}, false}}) {
    const std::vector<float> logits = random.Normals(s.tokens * s.experts, 2), bias = random.Normals(s.experts, 0.1);
    const int k = s.options.k;
    DeviceArray<float> dl("logits", logits), db("bias", bias), weights("weights", s.tokens * k);
    DeviceArray<int32_t> chosen("chosen", s.tokens * k);
    c.Expect(cuda::RouteTopK(dl.data(), s.bias ? db.data() : nullptr, s.tokens, s.experts, s.options, chosen.data(),
                             weights.data(), nullptr) == 0,
             "launch");
    const std::vector<int32_t> e = chosen.Download();
    const std::vector<float> w = weights.Download();
    for (int64_t t = 0; t < s.tokens; ++t)
      CheckChoice(c, &logits[t * s.experts], s.bias ? bias.data() : nullptr, s.experts, s.options, &e[t * k],
                  &w[t * k]);
  }
}

// Exact ties, infinities, NaN, and the options that are refused.
EAQ_CHECK_CASE(RouteTopKEdges) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const auto choose = [&](const std::vector<float>& logits, const std::vector<float>& bias,
                          const cuda::RouteOptions& o) {
    const auto experts = static_cast<int64_t>(logits.size());
    DeviceArray<float> dl("logits", logits), db("bias", bias), weights("weights", o.k);
    DeviceArray<int32_t> chosen("chosen", o.k);
    c.Expect(cuda::RouteTopK(dl.data(), bias.empty() ? nullptr : db.data(), 1, experts, o, chosen.data(),
                             weights.data(), nullptr) == 0,
             "launch");
    return chosen.Download();
  };
  cuda::RouteOptions three{3}, sigmoid{3}, groups{2};
  sigmoid.sigmoid = true;
  groups.sigmoid = true;
  groups.groups = 4;
  groups.chosen_groups = 2;
  c.Same(choose(std::vector<float>(40, 1.5f), {}, three), {0, 1, 2}, "all equal");
  std::vector<float> two(40, 0.0f);
  two[39] = two[35] = 1;
  c.Same(choose(two, {}, three), {35, 39, 0}, "two above");
  c.Same(choose({0, -0.0f, 0, 1}, {}, sigmoid), {3, 0, 1}, "zeros of both signs are equal");
  c.Same(choose({-1, nan, -infinity, 2}, {}, sigmoid), {3, 0, 2}, "NaN below everything");
  c.Same(choose({nan, nan, nan, nan}, {}, three), {0, 1, 2}, "only NaN");
  // The sign of a NaN that arithmetic makes differs between machines; neither may win.
  c.Same(choose({1, 2, 3, 0}, {0, nan, 0, 0}, sigmoid), {2, 0, 3}, "NaN by bias");
  c.Same(choose({1, 2, 3, 0}, {0, -nan, 0, 0}, sigmoid), {2, 0, 3}, "-NaN by bias");
  c.Same(choose({1, 1, 1, 1}, {0, -0.0f, 0.5f, 0}, sigmoid), {2, 0, 1}, "bias decides");
  // Groups of 2: best 0.9-like logits in groups 1 and 3; ties between groups 0 and 2 do not matter.
  c.Same(choose({0, 0, 3, -5, 0, 0, -9, 2}, {}, groups), {2, 7}, "groups");
  c.Same(choose({1, 0, 1, 0, 1, 0, 1, 0}, {}, groups), {0, 2}, "equal groups: the lowest");
  for (const cuda::RouteOptions& bad : {cuda::RouteOptions{0}, cuda::RouteOptions{9}, cuda::RouteOptions{33}})
    c.Expect(cuda::RouteTopK(nullptr, nullptr, 1, 8, bad, nullptr, nullptr, nullptr) != 0, "k = ", bad.k);
  cuda::RouteOptions uneven{2};
  uneven.groups = 3;
  c.Expect(cuda::RouteTopK(nullptr, nullptr, 1, 8, uneven, nullptr, nullptr, nullptr) != 0, "uneven groups");
  c.Expect(cuda::RouteTopK(nullptr, nullptr, 1, 513, three, nullptr, nullptr, nullptr) != 0, "513 experts");
  c.Expect(cuda::RouteTopK(nullptr, nullptr, 0, 8, three, nullptr, nullptr, nullptr) == 0, "no tokens");
}

}  // namespace
}  // namespace eaq::kernels::selftest
