// A recipe run over a small model with random weights, the quantized model written to a file of packed weights and run
// from there again: for tests of what reaches from the plan to the file.
//
//   const WalkRun run(SixteenExperts(), "calibration { random {} } ...", FourBits());
//   ASSERT_THAT(run.status, IsOk());
//   EXPECT_EQ(run.FromFile(path), run.out);
#ifndef EAQ_RECIPE_WALK_TESTING_H_
#define EAQ_RECIPE_WALK_TESTING_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "eaq/base/progress.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/config.h"
#include "eaq/model/head.h"
#include "eaq/model/params.h"
#include "eaq/quant/packed_file.h"
#include "eaq/recipe/pipeline.h"
#include "eaq/recipe/stage_cache.h"
#include "eaq/tensor/matrix.h"

namespace eaq {

// What a walk over a model needs beside its subject.
struct WalkTools {
  explicit WalkTools(int threads, const std::string& cache_folder = "") : pool(threads), cache(cache_folder) {}
  // Pointers to this and to the arguments.
  PipelineInputs Inputs(const ModelSource& source, const ModelEnds& ends, const Recipe& recipe, const Scheme& scheme,
                        const std::vector<CalibrationWindow>& calibration);

  ThreadPool pool;
  NullProgress progress;
  StageCache cache;
};

struct WalkRun {
  // RECIPE in text format. SCHEME quantizes weights alone, or nothing. 4 calibration windows of 48 tokens; a probe of
  // 48 other ones goes along. THREADS must not matter.
  WalkRun(const ModelConfig& config, const std::string& recipe, const Scheme& scheme, int threads = 2,
          const std::string& cache_folder = "");

  // The probe's last hidden states when the model is run from PATH, which is written first: packed linears and routing
  // from the file, the rest as it was. Aborts on errors.
  Matrix FromFile(const std::string& path) const;
  const LinearReport& Report(const std::string& linear) const;

  ModelConfig config;
  absl::Status status;
  PipelineReport report;
  PackedModel packed;
  std::vector<LayerParams> params;                          // of every layer, after the transforms
  std::vector<std::map<int, int64_t>> reads;                // by layer: how many tokens of the probe each expert read
  std::vector<std::vector<float>> weights;                  // by layer, [tokens, k]
  Matrix in, out;                                           // the probe before the first and after the last layer
  std::vector<std::map<LinearId, QuantizedMatrix>> solved;  // by layer
};

}  // namespace eaq

#endif  // EAQ_RECIPE_WALK_TESTING_H_
