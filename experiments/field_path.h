// Setting a field by its path, and writing one message over another, through reflection.
#ifndef EXPERIMENTS_FIELD_PATH_H_
#define EXPERIMENTS_FIELD_PATH_H_

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "experiments/spec_lists.h"

namespace eaq {

// The fields of "solve.gptq.damping" from TYPE. NotFound names the part that does not exist, with a suggestion.
absl::StatusOr<std::vector<const google::protobuf::FieldDescriptor*>> ResolvePath(
    const google::protobuf::Descriptor* type, absl::string_view path);

// Parses VALUE (text format; a message with or without braces) into the field at PATH of MESSAGE. Steps with an index
// go to that element.
absl::Status SetAt(google::protobuf::Message& message, absl::Span<const PathStep> path, absl::string_view value);

// The same for a path without indices: all elements of repeated fields on the way. Returns how many places were set:
// none when a oneof on the way holds something else, or a repeated field on the way is empty.
absl::StatusOr<int> SetWhereItFits(google::protobuf::Message& message,
                                   absl::Span<const google::protobuf::FieldDescriptor* const> path,
                                   absl::string_view value);

// MERGED.MergeFrom(OVER), but that a list in OVER, at any depth, replaces the list that stands there.
void WriteOver(const google::protobuf::Message& over, google::protobuf::Message& merged);

}  // namespace eaq

#endif  // EXPERIMENTS_FIELD_PATH_H_
