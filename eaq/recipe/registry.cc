#include "eaq/recipe/registry.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>

#include "eaq/proto/any_message.h"

namespace eaq {

using google::protobuf::Message;

absl::StatusOr<std::unique_ptr<Message>> StageOptions(const Message& slot, absl::string_view slot_name) {
  const google::protobuf::OneofDescriptor* oneof = slot.GetDescriptor()->FindOneofByName("stage");
  const google::protobuf::FieldDescriptor* field =
      oneof == nullptr ? nullptr : slot.GetReflection()->GetOneofFieldDescriptor(slot, oneof);
  if (field == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("slot ", slot_name,
                                                   ": no stage is named; expected one of the fields of ",
                                                   slot.GetDescriptor()->full_name(), " (eaq/proto/recipe.proto)"));
  }
  const Message& options = slot.GetReflection()->GetMessage(slot, field);
  if (options.GetDescriptor() != google::protobuf::Any::descriptor()) {
    std::unique_ptr<Message> copy(options.New());
    copy->CopyFrom(options);
    return copy;
  }
  google::protobuf::Any any;
  any.CopyFrom(options);
  std::unique_ptr<Message> payload = UnpackAny(any);
  if (payload == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("slot ", slot_name, ": the message ", AnyTypeName(any),
                                                   " of `external` is not linked into this program, or its payload is",
                                                   " no such message"));
  }
  return payload;
}

}  // namespace eaq
