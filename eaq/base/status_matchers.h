// GoogleTest matchers for absl::Status and absl::StatusOr: IsOk(), StatusIs(code, message matcher), IsOkAndHolds(m).
// The meaning of newer abseil's status_matchers.h, for Debian's 20220623.
#ifndef EAQ_BASE_STATUS_MATCHERS_H_
#define EAQ_BASE_STATUS_MATCHERS_H_

#include <ostream>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {

inline const absl::Status& GetStatus(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& or_value) {
  return or_value.status();
}

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  *result_listener << GetStatus(arg).ToString();
  return GetStatus(arg).ok();
}

MATCHER_P2(StatusIs, code, message, "has that code and message") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status.ToString();
  return status.code() == code &&
         ::testing::ExplainMatchResult(message, std::string(status.message()), result_listener);
}

MATCHER_P(IsOkAndHolds, inner, "is OK and holds a value that matches") {
  if (!arg.ok()) {
    *result_listener << arg.status().ToString();
    return false;
  }
  return ::testing::ExplainMatchResult(inner, *arg, result_listener);
}

}  // namespace eaq

#define EAQ_EXPECT_OK(expr) EXPECT_THAT((expr), ::eaq::IsOk())
#define EAQ_ASSERT_OK(expr) ASSERT_THAT((expr), ::eaq::IsOk())
#define EAQ_TEST_CONCAT_INNER_(a, b) a##b
#define EAQ_TEST_CONCAT_(a, b) EAQ_TEST_CONCAT_INNER_(a, b)
#define EAQ_ASSERT_OK_AND_ASSIGN(lhs, expr) \
  EAQ_ASSERT_OK_AND_ASSIGN_(EAQ_TEST_CONCAT_(eaq_test_or_, __LINE__), lhs, expr)
#define EAQ_ASSERT_OK_AND_ASSIGN_(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  ASSERT_THAT(tmp, ::eaq::IsOk());                \
  lhs = std::move(tmp).value()

#endif  // EAQ_BASE_STATUS_MATCHERS_H_
