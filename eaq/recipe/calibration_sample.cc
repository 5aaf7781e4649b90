#include "eaq/recipe/calibration_sample.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace eaq {

absl::StatusOr<SampleSpec> SampleFromProto(const CalibrationSample& sample) {
  if (sample.max_rows() < 1) {
    return absl::InvalidArgumentError(absl::StrCat("sample.max_rows is ", sample.max_rows(), ", expected 1 or more"));
  }
  return SampleSpec{.averaged = sample.kind() == CalibrationSample::AVERAGED, .max_rows = sample.max_rows()};
}

Matrix AveragedWindow(absl::Span<const Matrix> windows) {
  int64_t rows = 0, cols = 0;
  for (const Matrix& window : windows) {
    rows = std::max(rows, window.rows());
    cols = window.cols();
  }
  Matrix mean(rows, cols);
  std::vector<double> sum(cols);
  for (int64_t r = 0; r < rows; ++r) {
    std::fill(sum.begin(), sum.end(), 0.0);
    int64_t count = 0;
    for (const Matrix& window : windows) {
      if (r >= window.rows()) continue;
      ++count;
      for (int64_t c = 0; c < cols; ++c) sum[c] += window(r, c);
    }
    for (int64_t c = 0; c < cols; ++c) mean(r, c) = static_cast<float>(sum[c] / count);
  }
  return mean;
}

std::vector<Matrix> SampleWindows(const SampleSpec& spec, absl::Span<const Matrix> windows) {
  if (spec.averaged) return {AveragedWindow(windows)};
  return std::vector<Matrix>(windows.begin(), windows.end());
}

Matrix SampleRows(const SampleSpec& spec, const Matrix& x) {
  if (spec.averaged || x.rows() <= spec.max_rows) return x;
  Matrix rows(spec.max_rows, x.cols());
  for (int64_t r = 0; r < rows.rows(); ++r) std::copy_n(x.row(r * x.rows() / spec.max_rows), x.cols(), rows.row(r));
  return rows;
}

}  // namespace eaq
