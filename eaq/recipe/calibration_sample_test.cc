#include "eaq/recipe/calibration_sample.h"

#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

Matrix Filled(int64_t rows, float first) {
  Matrix m(rows, 2);
  for (int64_t i = 0; i < m.size(); ++i) m.data()[i] = first + static_cast<float>(i);
  return m;
}

TEST(CalibrationSample, MeanByPosition) {
  const std::vector<Matrix> windows = {Filled(3, 0), Filled(2, 10)};
  const Matrix mean = AveragedWindow(windows);
  ASSERT_EQ(mean.rows(), 3);
  EXPECT_EQ(mean(0, 0), 5);
  EXPECT_EQ(mean(1, 1), 8);
  EXPECT_EQ(mean(2, 1), 5);  // the longer window's alone
  EXPECT_EQ(AveragedWindow({}).size(), 0);
  EXPECT_EQ(SampleWindows({.averaged = true}, windows).size(), 1);
  EXPECT_EQ(SampleWindows({.averaged = false}, windows), windows);
}

TEST(CalibrationSample, RowsAreEvenlySpaced) {
  const Matrix x = Filled(10, 0);
  const Matrix rows = SampleRows({.averaged = false, .max_rows = 4}, x);
  ASSERT_EQ(rows.rows(), 4);
  for (const int i : {0, 1, 2, 3}) EXPECT_EQ(rows(i, 0), x(i * 10 / 4, 0));
  EXPECT_EQ(SampleRows({.averaged = false, .max_rows = 10}, x), x);
  EXPECT_EQ(SampleRows({.averaged = true, .max_rows = 4}, x), x);
}

TEST(CalibrationSample, RowsAreAtLeastOne) {
  CalibrationSample sample;
  sample.set_max_rows(0);
  EXPECT_THAT(SampleFromProto(sample), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_rows is 0")));
  EAQ_ASSERT_OK_AND_ASSIGN(const SampleSpec spec, SampleFromProto(CalibrationSample()));
  EXPECT_TRUE(spec.averaged);
}

}  // namespace
}  // namespace eaq
