// How numbers become text: fixed formats, the same bytes everywhere, never the locale's. Inside the room eaq/report.
#ifndef EAQ_REPORT_FORMAT_H_
#define EAQ_REPORT_FORMAT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "eaq/eval/statistics.h"

namespace eaq::report_internal {

// DIGITS after the point; no "-0.000"; "nan", "inf", "-inf".
std::string Fixed(double value, int digits);
// The same with "+" in front of positive numbers.
std::string Signed(double value, int digits);
// %.17g: reads back as the same double. "" for NaN and infinities (an empty cell).
std::string Exact(double value);
// Digits after the point that show an interval of this half-width with two significant digits, 2 .. 5.
int DigitsFor(double half_width);
std::string Seconds(double seconds);  // "0.8 s", "12 s", "3 min 20 s"
std::string Bytes(double bytes);      // "1.25 MiB"
// Holm's p of R: "= 0.023", "< 0.001"; "<= 0.0024" (as one sign) where none of DRAWS random sign flips came near, so
// that more draws would show a smaller one.
std::string HolmP(const PairedResult& r, int draws);
std::string Interval(const PairedResult& r, int digits);  // "-0.012 [-0.015, -0.009]", "+0.012 [0.009, 0.015]"

std::string EscapeHtml(absl::string_view text);  // & < > " '
std::string EscapeJson(absl::string_view text);  // with quotes; < > & U+2028/9 as \u, so safe inside <script>
std::string EscapeLatex(absl::string_view text);
std::string EscapeCsv(absl::string_view text);  // RFC 4180; a leading = + - @ of a label gets a quote before it
std::string PlainText(absl::string_view text);  // control characters (escape sequences too) as '?'
// Columns TEXT takes in a terminal: code points that are not combining. (No wide scripts: labels are ours.)
int DisplayWidth(absl::string_view text);

}  // namespace eaq::report_internal

#endif  // EAQ_REPORT_FORMAT_H_
