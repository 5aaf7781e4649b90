#include "eaq/device/device_layer.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "eaq/base/status_macros.h"
#include "eaq/device/device_runner.h"
#include "eaq/device/layer_image.h"

namespace eaq {

absl::Status DeviceForward(kernels::Backend& backend, const DecoderLayer& layer, const CodesOf& codes,
                           absl::Span<Matrix> hidden, absl::Span<LayerObserver* const> observers, int64_t max_rows) {
  DeviceRunner::Options options;
  options.observe_inputs = !observers.empty();
  int64_t longest = 0, all = 0;
  for (const Matrix& window : hidden) {
    longest = std::max(longest, window.rows());
    all += window.rows();
  }
  if (all == 0) return absl::OkStatus();
  options.max_rows = std::max(longest, std::min(all, max_rows));
  EAQ_ASSIGN_OR_RETURN(const LayerImage image, MakeLayerImage(layer, codes));
  EAQ_ASSIGN_OR_RETURN(const auto runner, DeviceRunner::Create(backend, layer.config(), options));
  EAQ_RETURN_IF_ERROR(runner->Load(image));
  EAQ_RETURN_IF_ERROR(runner->NextLayer());
  for (size_t begin = 0; begin < hidden.size();) {
    // As many windows as go through together.
    std::vector<int64_t> lengths;
    std::vector<LayerObserver*> watching;
    int64_t rows = 0;
    for (size_t w = begin; w < hidden.size() && rows + hidden[w].rows() <= options.max_rows; ++w) {
      rows += hidden[w].rows();
      lengths.push_back(hidden[w].rows());
      if (!observers.empty()) watching.push_back(observers[w]);
    }
    const int64_t cols = hidden[begin].cols();
    Matrix batch(rows, cols);
    float* at = batch.data();
    for (size_t w = begin; w < begin + lengths.size(); ++w) at = std::copy_n(hidden[w].data(), hidden[w].size(), at);
    EAQ_RETURN_IF_ERROR(runner->Forward(batch.view(), lengths, watching));
    const float* from = batch.data();
    for (size_t w = begin; w < begin + lengths.size(); ++w) {
      std::copy_n(from, hidden[w].size(), hidden[w].data());
      from += hidden[w].size();
    }
    begin += lengths.size();
  }
  return absl::OkStatus();
}

}  // namespace eaq
