// What is inside a google.protobuf.Any: options of a stage from outside the tree.
#ifndef EAQ_PROTO_ANY_MESSAGE_H_
#define EAQ_PROTO_ANY_MESSAGE_H_

#include <google/protobuf/any.pb.h>

#include <memory>
#include <string>

namespace eaq {

// The full name of the type: what follows the last '/' of the URL. What precedes it has no meaning here.
std::string AnyTypeName(const google::protobuf::Any& any);

// The message that ANY packs, or null when its type is not linked into the program or the bytes are none of it.
std::unique_ptr<google::protobuf::Message> UnpackAny(const google::protobuf::Any& any);

}  // namespace eaq

#endif  // EAQ_PROTO_ANY_MESSAGE_H_
