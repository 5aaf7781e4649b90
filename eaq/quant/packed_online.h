// Online transforms inside the file of packed weights (docs/formats/packed_weights.md): how packed_file.h stores them.
#ifndef EAQ_QUANT_PACKED_ONLINE_H_
#define EAQ_QUANT_PACKED_ONLINE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "eaq/checkpoint/safetensors.h"
#include "eaq/checkpoint/safetensors_writer.h"
#include "eaq/model/online.h"

namespace eaq {

// The steps in words: "divide, rotate 32, permute, hadamard 8 4".
std::string DescribeOnline(const OnlineTransform& online);

// Adds the tensors NAME.0.divisors, NAME.1.rotation, ... InvalidArgument: no steps, or a number that is not a float16.
absl::Status AddOnline(const std::string& name, const OnlineTransform& online, SafetensorsWriter* writer);

// The transform that DESCRIPTION and the tensors under NAME say; USED grows by the tensors read. InvalidArgument names
// the step. Whether it fits a linear is OnlineTransform::Validate's to say.
absl::StatusOr<OnlineTransform> ReadOnline(const SafetensorsFile& file, const std::string& name,
                                           absl::string_view description, int64_t* used);

}  // namespace eaq

#endif  // EAQ_QUANT_PACKED_ONLINE_H_
