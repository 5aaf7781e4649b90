// In float64: the layer's function stays within 1e-10, and the gradient of the scales is the numeric one.
#include "eaq/methods/omniquant/equivalent_transform.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eaq/base/rng.h"
#include "eaq/methods/block_training/testing.h"
#include "eaq/train/layer_pass.h"

namespace eaq {
namespace {

std::vector<double> Parameters(const ParameterLayout& layout) {
  std::vector<double> p(layout.size);
  Rng rng(4, "equivalent_transform_test");
  for (const ParameterGroup& group : layout.groups)
    for (int64_t i = 0; i < group.size; ++i)
      p[group.offset + i] = group.is_norm ? 1 + 0.2 * rng.Normal() : 0.3 * rng.Normal();
  return p;
}

std::vector<double> Scales(int64_t n) {
  std::vector<double> s(n);
  Rng rng(5, "scales");
  for (double& x : s) x = std::exp(rng.Normal()) * (rng.Uniform() < 0.1 ? -1 : 1);
  return s;
}

TEST(EquivalentTransform, KeepsTheFunction) {
  for (const TestFamily& family : TestFamilies()) {
    const ParameterLayout layout = SingleLayerLayout(family.config, family.layer);
    const std::vector<double> original = Parameters(layout);
    const int64_t n = 40, d = family.config.hidden_size;
    std::vector<double> x(n * d), before(n * d), after(n * d), edited(layout.size);
    Rng rng(6, "x");
    for (double& v : x) v = rng.Normal();
    LayerPass<double> pass(layout, 2, n / 2);
    pass.Forward(original.data(), n, x.data(), before.data());
    for (const bool qk : {false, true}) {
      const EquivalentTransform<double> transform(layout, qk);
      EXPECT_EQ(transform.scales().value_size > 0, family.config.num_heads == family.config.num_kv_heads);
      EXPECT_EQ(transform.scales().qk_size > 0, qk);
      transform.Forward(original.data(), Scales(transform.scales().size).data(), edited.data());
      EXPECT_NE(edited, original);
      pass.Forward(edited.data(), n, x.data(), after.data());
      for (int64_t i = 0; i < n * d; ++i) ASSERT_NEAR(after[i], before[i], 1e-10 * (1 + std::abs(before[i])));
    }
  }
}

TEST(EquivalentTransform, GradientsMatchCentralDifferences) {
  for (const TestFamily& family : TestFamilies()) {
    const ParameterLayout layout = SingleLayerLayout(family.config, family.layer);
    const std::vector<double> original = Parameters(layout);
    const EquivalentTransform<double> transform(layout, true);
    std::vector<double> s = Scales(transform.scales().size), ds(s.size()), edited(layout.size), g(layout.size);
    Rng rng(7, "g");
    for (double& v : g) v = rng.Normal();
    transform.Backward(original.data(), s.data(), g.data(), ds.data());
    const auto loss = [&] {
      transform.Forward(original.data(), s.data(), edited.data());
      double sum = 0;
      for (int64_t i = 0; i < layout.size; ++i) sum += g[i] * edited[i];
      return sum;
    };
    for (size_t i = 0; i < s.size(); ++i) {
      const double keep = s[i], h = 1e-5 * std::abs(keep);
      s[i] = keep + h;
      const double plus = loss();
      s[i] = keep - h;
      const double minus = loss();
      s[i] = keep;
      ASSERT_NEAR((plus - minus) / (2 * h), ds[i], 1e-5 * (1 + std::abs(ds[i]))) << family.name << ", scale " << i;
    }
  }
}

}  // namespace
}  // namespace eaq
