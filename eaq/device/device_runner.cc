#include "eaq/device/device_runner.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"
#include "eaq/device/backend_status.h"
#include "eaq/device/layer_pass.h"

namespace eaq {

struct DeviceRunner::Slot {
  explicit Slot(kernels::Device* d) : device(d) {}
  ~Slot() { Release(); }
  void Release() {
    if (pinned != nullptr) device->FreePinned(pinned);
    pinned = nullptr;
    memory.Release();
    capacity = 0;
  }

  kernels::Device* device;
  LayerPlan layer;
  void* pinned = nullptr;
  kernels::Arena memory;
  uint8_t* bytes = nullptr;  // in MEMORY
  int64_t capacity = 0;
};

absl::StatusOr<std::unique_ptr<DeviceRunner>> DeviceRunner::Create(kernels::BackendKind kind, const ModelConfig& config,
                                                                   const Options& options) {
  std::unique_ptr<kernels::Backend> backend;
  const kernels::BackendStatus opened = kernels::OpenBackend(kind, &backend);
  if (!opened.ok()) return absl::FailedPreconditionError(opened.text());
  if (backend->device() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("the backend \"", kernels::Name(kind), "\" has no device; expected emulation or cuda"));
  }
  EAQ_ASSIGN_OR_RETURN(auto runner, Create(*backend, config, options));
  runner->own_ = std::move(backend);
  return runner;
}

absl::StatusOr<std::unique_ptr<DeviceRunner>> DeviceRunner::Create(kernels::Backend& backend, const ModelConfig& config,
                                                                   const Options& options) {
  std::unique_ptr<DeviceRunner> runner(new DeviceRunner);
  runner->config_ = config;
  runner->options_ = options;
  runner->backend_ = &backend;
  kernels::Device& device = runner->device();
  const int64_t bytes = LayerPass::WorkspaceBytes(config, options.max_rows, device.checked());
  EAQ_RETURN_IF_ERROR(AsStatus(runner->workspace_.Create(&device, "workspace", bytes, device.checked())));
  for (int i = 0; i < kernels::Device::kUploads; ++i) runner->slots_.push_back(std::make_unique<Slot>(&device));
  return runner;
}

DeviceRunner::~DeviceRunner() {
  workspace_.Release();
  slots_.clear();  // before the device
}

absl::Status DeviceRunner::Load(const LayerImage& image) {
  // The slot that is neither current nor waiting.
  int free = -1;
  for (int i = 0; i < kernels::Device::kUploads; ++i) {
    if (i != current_ && std::find(waiting_.begin(), waiting_.end(), i) == waiting_.end()) free = i;
  }
  if (free < 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "layer ", image.plan.layer, " loaded while two others are on the device; expected NextLayer before it"));
  }
  Slot& slot = *slots_[free];
  const auto bytes = static_cast<int64_t>(image.bytes.size());
  EAQ_RETURN_IF_ERROR(AsStatus(device().FinishUpload(free)));  // of the layer before in this slot
  if (bytes > slot.capacity) {
    EAQ_RETURN_IF_ERROR(AsStatus(device().Synchronize()));
    slot.Release();
    const bool checked = device().checked();
    EAQ_RETURN_IF_ERROR(
        AsStatus(slot.memory.Create(&device(), "layer", kernels::Arena::Footprint(bytes, checked), checked)));
    slot.bytes = slot.memory.Take<uint8_t>("weights", bytes);
    EAQ_RETURN_IF_ERROR(AsStatus(slot.memory.status()));
    EAQ_RETURN_IF_ERROR(AsStatus(device().AllocatePinned(bytes, &slot.pinned)));
    slot.capacity = bytes;
  }
  auto* const pinned = static_cast<uint8_t*>(slot.pinned);
  PlaceImage(image, slot.bytes, pinned);
  slot.layer = image.plan;
  EAQ_RETURN_IF_ERROR(AsStatus(device().StartUpload(free, slot.bytes, pinned, bytes)));
  waiting_.push_back(free);
  return absl::OkStatus();
}

absl::Status DeviceRunner::NextLayer() {
  if (waiting_.empty()) return absl::FailedPreconditionError("no layer is loaded");
  if (current_ >= 0) EAQ_RETURN_IF_ERROR(AsStatus(slots_[current_]->memory.Check()));
  current_ = waiting_.front();
  waiting_.pop_front();
  return AsStatus(device().UseUpload(current_));
}

absl::Status DeviceRunner::Forward(MatrixView hidden, absl::Span<const int64_t> lengths,
                                   absl::Span<LayerObserver* const> observers, absl::Span<const uint8_t> branches) {
  if (current_ < 0) return absl::FailedPreconditionError("no layer is current; expected NextLayer before Forward");
  if (!branches.empty() && (branches.size() != lengths.size() || branches[0] != 0)) {
    return absl::InvalidArgumentError(absl::StrCat(branches.size(), " marks of branches for ", lengths.size(),
                                                   " sequences, or a branch first; expected one each, the first 0"));
  }
  for (const int64_t length : lengths) {
    if (length < 1)
      return absl::InvalidArgumentError(absl::StrCat("a sequence of ", length, " tokens; expected 1 or more"));
  }
  int64_t row = 0;
  for (size_t begin = 0; begin < lengths.size();) {
    size_t end = begin;
    int64_t rows = 0, keys = 0;
    while (end < lengths.size()) {  // one more sequence, with its branches
      size_t next = end;
      int64_t more_rows = 0, more_keys = 0;
      do {
        more_rows += lengths[next];
        more_keys += lengths[next] + (next > end ? lengths[end] : 0);
        ++next;
      } while (next < lengths.size() && !branches.empty() && branches[next] != 0);
      if (keys + more_keys > options_.max_rows) {
        if (rows > 0 || end > begin) break;
        return absl::InvalidArgumentError(absl::StrCat(
            "a sequence of ", lengths[begin], " tokens", next > begin + 1 ? " and its branches" : "", " with ",
            more_keys, " keys; expected at most ", options_.max_rows, " (DeviceRunner::Options::max_rows)"));
      }
      rows += more_rows;
      keys += more_keys;
      end = next;
    }
    const size_t count = end - begin;
    const auto some = observers.empty() ? observers : observers.subspan(begin, count);
    const auto marks = branches.empty() ? branches : branches.subspan(begin, count);
    if (rows > 0) EAQ_RETURN_IF_ERROR(ForwardBatch(hidden.Rows(row, rows), lengths.subspan(begin, count), some, marks));
    row += rows;
    begin = end;
  }
  if (row != hidden.rows) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequences of ", row, " tokens together; expected ", hidden.rows, ", the rows of hidden"));
  }
  return absl::OkStatus();
}

absl::Status DeviceRunner::ForwardAll(int layers, const std::function<absl::StatusOr<LayerImage>(int)>& image,
                                      MatrixView hidden, absl::Span<const int64_t> lengths,
                                      absl::Span<LayerObserver* const> observers) {
  for (int l = 0; l <= layers; ++l) {
    if (l > 0) EAQ_RETURN_IF_ERROR(NextLayer());
    if (l < layers) {
      EAQ_ASSIGN_OR_RETURN(const LayerImage next, image(l));
      EAQ_RETURN_IF_ERROR(Load(next));
    }
    if (l > 0) EAQ_RETURN_IF_ERROR(Forward(hidden, lengths, observers));
  }
  return absl::OkStatus();
}

absl::Status DeviceRunner::ForwardBatch(MatrixView hidden, absl::Span<const int64_t> lengths,
                                        absl::Span<LayerObserver* const> observers,
                                        absl::Span<const uint8_t> branches) {
  const Slot& slot = *slots_[current_];
  LayerPass pass(*backend_, config_, slot.layer, slot.bytes, workspace_, options_.observe_inputs);
  EAQ_RETURN_IF_ERROR(
      Annotate(pass.Run(hidden, lengths, observers, branches), absl::StrCat("layer ", slot.layer.layer)));
  return Annotate(AsStatus(workspace_.Reset()), absl::StrCat("layer ", slot.layer.layer));
}

}  // namespace eaq
