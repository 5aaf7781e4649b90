// A waterfall as inline SVG, lying: one line per step, from a first level to a last one by signed changes.
//
//   Waterfall w("ablation0", "W3A4: from RTN to GPTQ", "Each part's change of the loss ...");
//   w.label = "difference to full precision, nats per token";
//   w.steps = {{"RTN", 0.43, 0.42, 0.44, Waterfall::kLevel}, {"smoothing", -0.02, -0.03, -0.01}, ...};
//   html += w.Svg();
//
// Conventions as in svg.h. Lower is better: falling bars are green, rising ones red-orange, `kRest` grey, and each says
// its number in words, so colour carries nothing alone. The axis need not begin at 0: levels are markers, not bars.
#ifndef EAQ_REPORT_WATERFALL_H_
#define EAQ_REPORT_WATERFALL_H_

#include <string>
#include <utility>
#include <vector>

namespace eaq {

struct Waterfall {
  enum Kind {
    kChange,
    kRest,   // what the other changes leave over
    kLevel,  // VALUE is where we are, not a change
  };
  struct Step {
    std::string name;
    double value = 0, low = 0, high = 0;  // with its interval; equal: none is drawn
    Kind kind = kChange;
    std::string text;  // at the right end: the value in words
  };
  Waterfall(std::string id, std::string title, std::string description)
      : id(std::move(id)), title(std::move(title)), description(std::move(description)) {}
  // "" without steps, or when the first is no level, or a number is not finite.
  std::string Svg() const;

  std::string id, title, description, label;  // of the axis
  std::vector<Step> steps;
  int width = 820;
};

}  // namespace eaq

#endif  // EAQ_REPORT_WATERFALL_H_
