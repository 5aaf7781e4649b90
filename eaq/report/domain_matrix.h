// Calibration domain x evaluation domain: does it matter which text a method is calibrated on? Inside the room
// eaq/report.
#ifndef EAQ_REPORT_DOMAIN_MATRIX_H_
#define EAQ_REPORT_DOMAIN_MATRIX_H_

#include <string>
#include <vector>

#include "eaq/report/comparison.h"

namespace eaq::report_internal {

// The rows of one method under one scheme that differ in the domains they were calibrated on; at least two.
struct CalibrationBlock {
  std::string scheme, method;
  std::vector<int> groups;         // indices, in table order
  std::vector<std::string> mixes;  // of each: "scripture"; "scripture, code"; with "32 x 256" where domains repeat
  // [group][domain, and last the pool]: loss minus the least of the block in that column, nats per token.
  std::vector<std::vector<double>> excess;
};
std::vector<CalibrationBlock> FindCalibrationBlocks(const Comparison& c);

// A map per scheme, with the difference to full precision (without full precision: the loss) in the cells and the
// excess as their colour; "" where FindCalibrationBlocks finds none.
std::string DomainMatrices(const Comparison& c);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_DOMAIN_MATRIX_H_
