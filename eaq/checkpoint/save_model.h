// Writes a checkpoint folder that Hugging Face transformers and OpenModel read: config.json and model.safetensors.
#ifndef EAQ_CHECKPOINT_SAVE_MODEL_H_
#define EAQ_CHECKPOINT_SAVE_MODEL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/checkpoint/dtype.h"
#include "eaq/model/params.h"

namespace eaq {

// FOLDER is created. Every weight is rounded to DTYPE (F32 or BF16). LAYERS are all layers, in order. Each file is
// written atomically and the same model gives the same bytes. OLMoE family only (Unimplemented otherwise);
// InvalidArgument names a linear that is missing or of the wrong shape.
absl::Status SaveModel(const std::string& folder, const ModelConfig& config, absl::Span<const LayerParams> layers,
                       const OuterParams& outer, DType dtype);

}  // namespace eaq

#endif  // EAQ_CHECKPOINT_SAVE_MODEL_H_
