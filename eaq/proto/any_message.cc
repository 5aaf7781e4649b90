#include "eaq/proto/any_message.h"

#include <google/protobuf/descriptor.h>

namespace eaq {

std::string AnyTypeName(const google::protobuf::Any& any) {
  return any.type_url().substr(any.type_url().rfind('/') + 1);
}

std::unique_ptr<google::protobuf::Message> UnpackAny(const google::protobuf::Any& any) {
  const google::protobuf::Descriptor* type =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(AnyTypeName(any));
  if (type == nullptr) return nullptr;
  std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (!message->ParseFromString(any.value())) return nullptr;
  return message;
}

}  // namespace eaq
