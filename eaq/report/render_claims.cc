// Claims and their verdicts as text, HTML and JSON.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "eaq/report/claims.h"
#include "eaq/report/format.h"
#include "eaq/report/render_ablation.h"
#include "eaq/report/report.h"
#include "eaq/report/text_table.h"

namespace eaq::report_internal {
namespace {

// "-0.0832 [-0.0901, -0.0759]"
std::string Difference(const ClaimRow& row) {
  if (!row.paired) return "-";
  const int digits = DigitsFor((row.paired->high - row.paired->low) / 2);
  return absl::StrCat(Signed(row.paired->mean, digits), " [", Fixed(row.paired->low, digits), ", ",
                      Fixed(row.paired->high, digits), "]");
}

std::string P(const ClaimRow& row, const Comparison& c) {
  return row.paired ? HolmP(*row.paired, c.options.paired.draws) : "-";
}

}  // namespace

std::string ClaimsText(const Comparison& c, const TextOptions& options) {
  if (c.claims.empty()) return "";
  TextTable table({{"claim", false}, {"scheme", false}, {"difference", true}, {"Holm p", true}, {"verdict", false}});
  for (const ClaimRow& row : c.claims) {
    const std::string verdict = ClaimVerdict(row);
    table.Add({{PlainText(row.text)},
               {PlainText(row.scheme)},
               {Difference(row)},
               {P(row, c)},
               {verdict, verdict == "holds"           ? Style::kGreen
                         : verdict == "does not hold" ? Style::kRed
                                                      : Style::kDim}});
  }
  return absl::StrCat("\n", table.Render(options.color));
}

std::string ClaimsHtml(absl::Span<const Comparison> parts) {
  std::string rows;
  bool forms = false;
  for (const Comparison& c : parts) forms = forms || !c.form.empty();
  const auto left = [](absl::string_view html) { return absl::StrCat("<td class=\"l\">", html, "</td>"); };
  for (const Comparison& c : parts) {
    for (const ClaimRow& row : c.claims) {
      const std::string source =
          row.source.empty() ? "" : absl::StrCat("<br><span class=\"dim\">", EscapeHtml(row.source), "</span>");
      absl::StrAppend(&rows, "<tr>", left(EscapeHtml(row.text) + source), left(EscapeHtml(c.groups[0].model)),
                      left(EscapeHtml(row.scheme)), forms ? left(EscapeHtml(c.form)) : "", left(ClaimVerdict(row)),
                      "<td", row.paired ? absl::StrCat(" data-v=\"", Exact(row.paired->mean), "\"") : "", ">",
                      EscapeHtml(Difference(row)), "</td><td>", EscapeHtml(P(row, c)), "</td></tr>\n");
    }
  }
  if (rows.empty()) return "";
  std::string summaries;
  for (const std::string& line : ClaimSummaries(parts))
    absl::StrAppend(&summaries, "<li>", EscapeHtml(line), "</li>\n");
  return absl::StrCat("<ul>\n", summaries, "</ul>\n<div class=\"scroll\" tabindex=\"0\"><table class=\"sortable\">",
                      "\n<thead><tr><th class=\"l\">claim</th><th class=\"l\">model</th><th class=\"l\">scheme</th>",
                      forms ? "<th class=\"l\">form</th>" : "", "<th class=\"l\">verdict</th>",
                      "<th>difference<br><small>nats/token</small></th><th>Holm p</th></tr></thead>\n<tbody>\n", rows,
                      "</tbody></table></div>\n");
}

std::string ClaimsJson(const Comparison& c) {
  std::string out = "[";
  for (const ClaimRow& row : c.claims) {
    absl::StrAppend(&out, out.size() > 1 ? ",\n" : "", "{\"claim\":", EscapeJson(row.text),
                    ",\"source\":", EscapeJson(row.source), ",\"scheme\":", EscapeJson(row.scheme),
                    ",\"recipe\":", EscapeJson(row.recipe), ",\"over\":", EscapeJson(row.over),
                    ",\"verdict\":", EscapeJson(ClaimVerdict(row)),
                    ",\"difference\":", row.paired ? Exact(row.paired->mean) : "null",
                    ",\"low\":", row.paired ? Exact(row.paired->low) : "null",
                    ",\"high\":", row.paired ? Exact(row.paired->high) : "null",
                    ",\"p_holm\":", row.paired ? Exact(row.paired->p_holm) : "null", "}");
  }
  return out + "]";
}

}  // namespace eaq::report_internal

namespace eaq {

std::string RenderClaims(absl::Span<const Comparison> parts) {
  std::string out;
  for (const std::string& line : report_internal::ClaimSummaries(parts)) {
    absl::StrAppend(&out, report_internal::PlainText(line), "\n");
  }
  return out;
}

}  // namespace eaq
