// A small layer with everything that surrounds it in a recipe, for tests of stages that learn from whole layers.
#ifndef EAQ_METHODS_BLOCK_TRAINING_TESTING_H_
#define EAQ_METHODS_BLOCK_TRAINING_TESTING_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eaq/base/thread_pool.h"
#include "eaq/model/layer.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/quantize_layer.h"
#include "eaq/recipe/slots.h"
#include "eaq/recipe/stage.h"

namespace eaq {

struct LayerFixture {
  // RECIPE and SCHEME in text format; slots left out are `calibration { random {} } allocate { uniform {} }
  // solve { nearest {} } router { keep {} } activation { dynamic {} }`. The full-precision inputs are WINDOWS random
  // ones; those propagated differ from them by 2 %.
  LayerFixture(const ModelConfig& config, int layer, const std::string& recipe, const std::string& scheme,
               int windows = 6, int threads = 2);

  LayerContext Context() const;
  // Profiles PARAMS as they are now.
  void Profile();
  std::map<LinearId, GridSpec> Plan() const;  // without the router
  // Mean squared error of the runtime's quantized layer, SOLVED in place of PARAMS' weights, on the propagated inputs
  // against the full-precision layer on the full-precision inputs.
  double RuntimeError(const SolvedLinears& solved) const;
  SolvedLinears Nearest() const;

  ModelConfig config;
  RecipeSlots slots;
  LayerScheme scheme;
  LayerParams params;
  LayerProfile profile;
  std::vector<Matrix> hidden, full_hidden;
  std::unique_ptr<ThreadPool> pool;
};

// OLMoE, Mixtral (grouped queries, no norms of q and k), a dense layer and a mixture with a shared expert.
struct TestFamily {
  std::string name;
  int layer;
  ModelConfig config;
};
std::vector<TestFamily> TestFamilies();

}  // namespace eaq

#endif  // EAQ_METHODS_BLOCK_TRAINING_TESTING_H_
