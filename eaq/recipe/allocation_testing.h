// An allocator run over a small model with random weights, as the pipeline runs it: for tests of allocators.
//
//   const AllocatorRun run(SixteenExperts(), "mxmoe { unit: LINEAR }", /*budget=*/3.2);
//   ASSERT_THAT(run.status, IsOk());
//   run.Bits({0, Role::kDown, 3});
#ifndef EAQ_RECIPE_ALLOCATION_TESTING_H_
#define EAQ_RECIPE_ALLOCATION_TESTING_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eaq/base/progress.h"
#include "eaq/base/thread_pool.h"
#include "eaq/model/head.h"
#include "eaq/model/params.h"
#include "eaq/model/synthetic.h"
#include "eaq/recipe/allocation.h"
#include "eaq/recipe/stage.h"

namespace eaq {

// The slot with the stage NAME, its OPTIONS in text format.
absl::StatusOr<std::unique_ptr<AllocateSlot>> MakeAllocator(const std::string& name, const std::string& options);

// TinyConfig() with two layers of so many experts; a scheme of 4-bit weights.
ModelConfig TwoLayers(int experts);
Scheme FourBits();

// 4 layers of 16 experts of 64 x 48: one linear is 1/192 of the experts' weights.
ModelConfig SixteenExperts();

struct AllocatorRun {
  // ALLOCATE: slot allocate in text format. The scheme has 4 bits and, above 0, BUDGET stored bits a weight of SCOPE.
  // The experts' weights differ in size; THREADS must not matter.
  AllocatorRun(const ModelConfig& config, const std::string& allocate, double budget = 0,
               Budget::Scope scope = Budget::EXPERTS, int threads = 2);

  LayerParams Layer(int layer) const { return source->LoadLayer(layer).value(); }
  int Bits(const LinearId& id) const { return plan.at(id).bits; }
  double StoredBits() const { return problem.StoredBitsPerWeight(plan); }
  // Of the stages' SurveyModel.
  ModelContext Model();

  ModelConfig config;
  std::shared_ptr<const ModelSource> source;
  std::unique_ptr<ModelEnds> ends;
  std::vector<CalibrationWindow> windows;
  std::vector<std::vector<Matrix>> hidden;  // by layer: its inputs, one a window
  std::unique_ptr<ThreadPool> pool;
  NullProgress progress;
  LayerScheme scheme;
  AllocationProblem problem;
  std::unique_ptr<AllocateSlot> stage;
  std::vector<std::vector<double>> surveys;
  BitPlan plan;
  absl::Status status;  // of all that can go wrong
};

}  // namespace eaq

#endif  // EAQ_RECIPE_ALLOCATION_TESTING_H_
