// Whether a router that chooses like full precision's goes with a small loss, in words.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/report/format.h"
#include "eaq/report/render_ablation.h"

namespace eaq::report_internal {
namespace {

// "-0.93 (p 0.002)"
std::string Rho(const RankCorrelation& r) {
  const bool least = !r.exact && r.p_value < 2e-4;
  return absl::StrCat(Signed(r.rho, 2), " (p ", least ? "\xE2\x89\xA4 " : "",
                      Fixed(r.p_value, r.p_value < 0.001 ? 4 : 3), ")");
}

}  // namespace

std::vector<std::string> RouterPredictionLines(const Comparison& c) {
  std::vector<std::string> lines;
  for (const RouterPrediction& r : c.router_predictions) {
    const int64_t rows = r.agreement ? r.agreement->points : r.kl->points;
    std::string line = absl::StrCat("Router, ", r.scheme, ": rank correlation over ", rows, " rows with the loss: ");
    if (r.agreement) absl::StrAppend(&line, "top-k agreement ", Rho(*r.agreement));
    if (r.kl) absl::StrAppend(&line, r.agreement ? ", " : "", "KL of the routers ", Rho(*r.kl));
    lines.push_back(line + ".");
  }
  return lines;
}

std::string RouterPredictionHtml(const Comparison& c) {
  std::string out;
  for (const std::string& line : RouterPredictionLines(c)) absl::StrAppend(&out, "<li>", EscapeHtml(line), "</li>\n");
  if (out.empty()) return "";
  return absl::StrCat(
      "<p>Does it predict the loss? Spearman's correlation over the methods of a scheme, p by ",
      "permutation. Methods that quantize better do both better: a correlation is no cause.</p>\n<ul>\n", out,
      "</ul>\n");
}

}  // namespace eaq::report_internal
