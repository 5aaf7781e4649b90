// The front of quality against bytes: which rows no other row beats with as few bytes. Inside the room eaq/report.
#ifndef EAQ_REPORT_FRONT_H_
#define EAQ_REPORT_FRONT_H_

#include <string>
#include <vector>

#include "eaq/report/comparison.h"

namespace eaq::report_internal {

// Rows whose schemes differ in the weights' grid and the budget alone, of which at least one recipe has three sizes or
// more: lines over stored bits can be drawn.
struct FrontFamily {
  std::vector<std::string> recipes;     // in table order
  std::vector<std::vector<int>> lines;  // of each recipe: indices into groups, stored bits ascending
  std::vector<int> front;               // indices into groups, stored bits ascending
};

// Sizes count as equal to kBitsTolerance (ranking.h). A row with a measured difference to full precision is on the
// front when it is unmarked and no unmarked row of the family has a smaller loss with at most its bits, or the same
// loss with fewer.
std::vector<FrontFamily> FindFronts(const Comparison& c);

// The figures; "" where FindFronts finds none.
std::string FrontFigures(const Comparison& c);

// True when every row with a size and a difference to full precision is on a line of FrontFigures.
bool FrontsShowAll(const Comparison& c);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_FRONT_H_
