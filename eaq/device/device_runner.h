// Runs decoder layers on a device, one after the other, over batches of sequences.
//
//   EAQ_ASSIGN_OR_RETURN(auto runner, DeviceRunner::Create(kernels::BackendKind::kEmulation, config));
//   EAQ_RETURN_IF_ERROR(runner->Load(first_image));
//   for (each layer) {
//     EAQ_RETURN_IF_ERROR(runner->NextLayer());          // the one loaded longest ago
//     EAQ_RETURN_IF_ERROR(runner->Load(next_image));     // on its way while this one runs
//     EAQ_RETURN_IF_ERROR(runner->Forward(hidden, lengths));
//   }
//
// The device holds two layers, so a model may be larger than its memory. Numbers: the residual stream, norms, rotation,
// attention, router, SwiGLU, the sum over experts and the head are float32 as on the CPU, and experts are chosen from
// float32 inputs; rows become the CPU's own integer codes, or the sum of one or two bfloat16 numbers each, right before
// a product and nowhere else (device_linear.h, layer_image.h). A sequence's numbers do not depend on the batch.
#ifndef EAQ_DEVICE_DEVICE_RUNNER_H_
#define EAQ_DEVICE_DEVICE_RUNNER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "eaq/device/layer_image.h"
#include "eaq/model/config.h"
#include "eaq/model/observer.h"
#include "eaq/tensor/matrix.h"
#include "kernels/device/arena.h"
#include "kernels/device/open.h"

namespace eaq {

class DeviceRunner {
 public:
  struct Options {
    int64_t max_rows = 2048;  // of a batch; sizes the workspace
    // Observers are told of every linear's input too, which is then copied from the device: for tests and statistics.
    bool observe_inputs = false;
  };

  // FailedPrecondition where there is no such backend here, with what to do (kernels/device/open.h).
  static absl::StatusOr<std::unique_ptr<DeviceRunner>> Create(kernels::BackendKind kind, const ModelConfig& config,
                                                              const Options& options);
  static absl::StatusOr<std::unique_ptr<DeviceRunner>> Create(kernels::BackendKind kind, const ModelConfig& config) {
    return Create(kind, config, Options());
  }
  // On a device that something else uses, too, in turn; BACKEND outlives the result.
  static absl::StatusOr<std::unique_ptr<DeviceRunner>> Create(kernels::Backend& backend, const ModelConfig& config,
                                                              const Options& options);
  ~DeviceRunner();

  // Starts an upload. IMAGE is not needed afterwards. FailedPrecondition when two layers are there already that have
  // not been passed by NextLayer.
  absl::Status Load(const LayerImage& image);
  absl::Status NextLayer();

  // hidden[sum of LENGTHS, hidden_size], of sequences one after the other, each from its first token; in place. Cut
  // into batches of at most max_rows (a longer sequence is an error). OBSERVERS: none, or one a sequence.
  // BRANCHES: empty, or one number a sequence: other than 0, it continues the last one before it that is no branch (a
  // context, and candidates after it), as DecoderLayer::ForwardCached would. A front with its branches is one batch:
  // of at most max_rows rows, and as many keys where the front's count again for each branch.
  absl::Status Forward(MatrixView hidden, absl::Span<const int64_t> lengths,
                       absl::Span<LayerObserver* const> observers = {}, absl::Span<const uint8_t> branches = {});

  // All LAYERS layers, each one's upload beside the work of the one before. IMAGE(l) is asked for once, in order.
  absl::Status ForwardAll(int layers, const std::function<absl::StatusOr<LayerImage>(int)>& image, MatrixView hidden,
                          absl::Span<const int64_t> lengths, absl::Span<LayerObserver* const> observers = {});

  kernels::Backend& backend() { return *backend_; }
  kernels::Device& device() { return *backend_->device(); }
  const ModelConfig& config() const { return config_; }
  int64_t max_rows() const { return options_.max_rows; }

 private:
  struct Slot;

  DeviceRunner() = default;
  absl::Status ForwardBatch(MatrixView hidden, absl::Span<const int64_t> lengths,
                            absl::Span<LayerObserver* const> observers, absl::Span<const uint8_t> branches);

  ModelConfig config_;
  Options options_;
  std::unique_ptr<kernels::Backend> own_;  // or none
  kernels::Backend* backend_ = nullptr;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::deque<int> waiting_;  // slots loaded and not yet passed
  int current_ = -1;
  kernels::Arena workspace_;
};

}  // namespace eaq

#endif  // EAQ_DEVICE_DEVICE_RUNNER_H_
