// EAQ_RETURN_IF_ERROR and EAQ_ASSIGN_OR_RETURN: the meaning of newer abseil's macros, for Debian's 20220623.
//
//   EAQ_RETURN_IF_ERROR(WriteFileAtomic(path, bytes));
//   EAQ_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
//
// A function that uses them returns absl::Status or absl::StatusOr<T>. `Annotate` puts "what was being done" in
// front of a message, so that an error read at the top names every level it came through.
#ifndef EAQ_BASE_STATUS_MACROS_H_
#define EAQ_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace eaq {

// The same code with "context: " in front of the message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace eaq

#define EAQ_CONCAT_INNER_(a, b) a##b
#define EAQ_CONCAT_(a, b) EAQ_CONCAT_INNER_(a, b)

#define EAQ_RETURN_IF_ERROR(expr)              \
  do {                                         \
    const absl::Status eaq_status_ = (expr);   \
    if (!eaq_status_.ok()) return eaq_status_; \
  } while (false)

#define EAQ_ASSIGN_OR_RETURN(lhs, expr) EAQ_ASSIGN_OR_RETURN_(EAQ_CONCAT_(eaq_or_, __LINE__), lhs, expr)
#define EAQ_ASSIGN_OR_RETURN_(tmp, lhs, expr) \
  auto tmp = (expr);                          \
  if (!tmp.ok()) return tmp.status();         \
  lhs = std::move(tmp).value()

#endif  // EAQ_BASE_STATUS_MACROS_H_
