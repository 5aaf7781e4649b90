// Trained parameters as a Hugging Face checkpoint folder.
#ifndef EAQ_TRAIN_EXPORT_H_
#define EAQ_TRAIN_EXPORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "eaq/train/parameters.h"

namespace eaq {

// Writes FOLDER/config.json and FOLDER/model.safetensors in bf16. PARAMS [layout.size]. The folder's tokenizer.json
// is the caller's.
absl::Status ExportModel(const ParameterLayout& layout, absl::Span<const float> params, const std::string& folder);

}  // namespace eaq

#endif  // EAQ_TRAIN_EXPORT_H_
