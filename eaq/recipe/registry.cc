#include "eaq/recipe/registry.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>

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
  const std::string& url = any.type_url();
  const std::string name = url.substr(url.rfind('/') + 1);
  const google::protobuf::Descriptor* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  if (type == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("slot ", slot_name, ": the message ", name, " of `external` is not linked into this program"));
  }
  std::unique_ptr<Message> payload(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (!any.UnpackTo(payload.get())) {
    return absl::InvalidArgumentError(absl::StrCat("slot ", slot_name, ": the payload of `external` is no ", name));
  }
  return payload;
}

}  // namespace eaq
