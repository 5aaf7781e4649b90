// A layer with random weights and all that a stage may look at, for tests of transforms.
//
//   TransformBench bench(SharedConfig());
//   LayerParams edited = bench.params;
//   ASSERT_THAT(stage->Apply(bench.Context(), edited), IsOk());
//   EXPECT_LT(Difference(bench.config, bench.params, edited, bench.hidden), 2e-5);
#ifndef EAQ_METHODS_TRANSFORM_TESTING_H_
#define EAQ_METHODS_TRANSFORM_TESTING_H_

#include <vector>

#include "eaq/base/thread_pool.h"
#include "eaq/model/params.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/layer_scheme.h"
#include "eaq/recipe/profile.h"
#include "eaq/recipe/stage.h"

namespace eaq {

// TinyConfig() with dense layers, a shared expert, two key and value heads, clipped queries, keys and values.
ModelConfig DenseConfig();
ModelConfig SharedConfig();
ModelConfig GroupedConfig();
ModelConfig ClippedConfig();

struct TransformBench {
  // Channel 5 of the hidden states is 30 times as loud as the others. The scheme has 4 bits for weights and
  // activations.
  explicit TransformBench(const ModelConfig& config, int windows = 3, int tokens = 24, int threads = 1);
  LayerContext Context();  // points into this object

  ModelConfig config;
  LayerParams params;
  std::vector<Matrix> hidden;  // one [tokens, hidden_size] a window
  LayerProfile profile;        // without second moments
  LayerScheme scheme;
  ThreadPool pool;
};

// Largest difference of the outputs of layers A and B on the windows over the largest output of A.
double Difference(const ModelConfig& config, const LayerParams& a, const LayerParams& b,
                  const std::vector<Matrix>& windows);

}  // namespace eaq

#endif  // EAQ_METHODS_TRANSFORM_TESTING_H_
