#include "eaq/base/status_macros.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "eaq/base/status_matchers.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

absl::Status Check(const absl::Status& status, int& calls) {
  ++calls;
  return status;
}

absl::Status Forward(const absl::Status& status, int& calls, bool& went_on) {
  EAQ_RETURN_IF_ERROR(Check(status, calls));
  went_on = true;
  return absl::OkStatus();
}

TEST(ReturnIfErrorTest, ReturnsTheErrorAndEvaluatesOnce) {
  int calls = 0;
  bool went_on = false;
  EXPECT_THAT(Forward(absl::NotFoundError("x"), calls, went_on), StatusIs(absl::StatusCode::kNotFound, "x"));
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(went_on);
  EAQ_EXPECT_OK(Forward(absl::OkStatus(), calls, went_on));
  EXPECT_TRUE(went_on);
}

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::InvalidArgumentError("negative");
  return std::make_unique<int>(value);
}

absl::StatusOr<int> Sum(int a, int b) {
  EAQ_ASSIGN_OR_RETURN(const std::unique_ptr<int> left, Make(a));  // move-only values pass through
  std::unique_ptr<int> right;
  EAQ_ASSIGN_OR_RETURN(right, Make(b));  // and so does assignment to what exists
  return *left + *right;
}

TEST(AssignOrReturnTest, AssignsMovesAndReturns) {
  EXPECT_THAT(Sum(1, 2), IsOkAndHolds(3));
  EXPECT_THAT(Sum(-1, 2), StatusIs(absl::StatusCode::kInvalidArgument, "negative"));
  EXPECT_THAT(Sum(1, -2), StatusIs(absl::StatusCode::kInvalidArgument, "negative"));
}

// The macro is one statement: it must not capture the else of an if around it.
absl::Status InIf(bool check, const absl::Status& status) {
  if (check)
    EAQ_RETURN_IF_ERROR(status);
  else
    return absl::CancelledError("else");
  return absl::OkStatus();
}

TEST(ReturnIfErrorTest, IsOneStatement) {
  EXPECT_THAT(InIf(false, absl::OkStatus()), StatusIs(absl::StatusCode::kCancelled, "else"));
  EAQ_EXPECT_OK(InIf(true, absl::OkStatus()));
}

TEST(AnnotateTest, AddsContextAndKeepsTheCode) {
  EAQ_EXPECT_OK(Annotate(absl::OkStatus(), "context"));
  EXPECT_THAT(Annotate(absl::DataLossError("torn"), "reading x"),
              StatusIs(absl::StatusCode::kDataLoss, "reading x: torn"));
}

TEST(StatusMatchersTest, CanFail) {
  EXPECT_THAT(absl::NotFoundError("x"), ::testing::Not(IsOk()));
  EXPECT_THAT(absl::NotFoundError("x"), ::testing::Not(StatusIs(absl::StatusCode::kInternal, "x")));
  EXPECT_THAT(absl::NotFoundError("x"), ::testing::Not(StatusIs(absl::StatusCode::kNotFound, "y")));
  EXPECT_THAT(absl::StatusOr<int>(4), ::testing::Not(IsOkAndHolds(3)));
  EXPECT_THAT(absl::StatusOr<int>(absl::NotFoundError("x")), ::testing::Not(IsOkAndHolds(3)));
}

}  // namespace
}  // namespace eaq
