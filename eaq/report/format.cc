#include "eaq/report/format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace eaq::report_internal {

std::string Fixed(double value, int digits) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = absl::StrFormat("%.*f", digits, value);
  if (text[0] == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string Signed(double value, int digits) {
  std::string text = Fixed(value, digits);
  if (text[0] != '-' && text[0] != 'n' && text.find_first_not_of("0.") != std::string::npos) text.insert(0, "+");
  return text;
}

std::string Exact(double value) { return std::isfinite(value) ? absl::StrFormat("%.17g", value) : ""; }

int DigitsFor(double half_width) {
  if (!(half_width > 0) || !std::isfinite(half_width)) return 4;
  return std::clamp(1 - static_cast<int>(std::floor(std::log10(half_width))), 2, 5);
}

std::string Seconds(double seconds) {
  if (!(seconds >= 0)) return "-";
  if (seconds < 10) return Fixed(seconds, 1) + " s";
  const int64_t s = std::llround(seconds);
  if (s < 60) return absl::StrCat(s, " s");
  if (s < 3600) return absl::StrCat(s / 60, " min ", s % 60, " s");
  return absl::StrCat(s / 3600, " h ", s % 3600 / 60, " min");
}

std::string Bytes(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(Fixed(bytes, unit == 0 ? 0 : 2), " ", units[unit]);
}

std::string HolmP(const PairedResult& r, int draws) {
  const double p = r.p_holm;
  if (!r.exact && p > 0 && p < 1 && r.p_value <= 1.000001 / (1.0 + draws)) {
    // Rounded up to two digits, so that "at most" stays true.
    const double unit = std::pow(10.0, std::floor(std::log10(p)) - 1);
    return absl::StrCat("\xE2\x89\xA4 ", absl::StrFormat("%.2g", std::ceil(p / unit - 1e-9) * unit));
  }
  return p < 0.001 ? "< 0.001" : absl::StrCat("= ", Fixed(p, 3));
}

std::string Interval(const PairedResult& r, int digits) {
  return absl::StrCat(Signed(r.mean, digits), " [", Fixed(r.low, digits), ", ", Fixed(r.high, digits), "]");
}

std::string EscapeHtml(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '\0':
        out += "\xEF\xBF\xBD";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string EscapeJson(absl::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else if (c == 0xE2 && text.substr(i, 3) == "\xE2\x80\xA8") {
      out += "\\u2028";
      i += 2;
    } else if (c == 0xE2 && text.substr(i, 3) == "\xE2\x80\xA9") {
      out += "\\u2029";
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out + "\"";
}

std::string EscapeLatex(absl::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        out += '\\';
        out += c;
        break;
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      case '\n':
      case '\r':
        out += ' ';
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string EscapeCsv(absl::string_view text) {
  std::string out(text);
  if (!out.empty() && (out[0] == '=' || out[0] == '+' || out[0] == '-' || out[0] == '@')) out.insert(0, "'");
  if (out.find_first_of(",\"\n\r") == std::string::npos) return out;
  std::string quoted = "\"";
  for (const char c : out) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string PlainText(absl::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

int DisplayWidth(absl::string_view text) {
  int width = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if ((c & 0xC0) == 0x80) continue;      // continuation byte
    if (c == 0xCC || c == 0xCD) continue;  // U+0300 .. U+037F: combining marks (nearly)
    ++width;
  }
  return width;
}

}  // namespace eaq::report_internal
