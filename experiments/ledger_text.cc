// How the ledger program prints.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "eaq/base/file.h"
#include "experiments/ledger_verbs.h"

namespace eaq {
namespace {

// Code points, so that columns line up in UTF-8.
size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xc0) != 0x80; });
}

}  // namespace

int Complain(const absl::Status& status) {
  std::fprintf(stderr, "ledger: %s\n", Printable(std::string(status.message())).c_str());
  return std::max(1, LedgerExitCode(status));
}

int ComplainAboutName(const absl::Status& status) {
  const int code = Complain(status);
  return absl::IsNotFound(status) || absl::IsOutOfRange(status) || absl::IsAlreadyExists(status) ? 2 : code;
}

int Emit(const LedgerArgs& args, const std::string& text) {
  if (args.out.empty()) {
    const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
    if (written) return 0;
    std::fprintf(stderr, "ledger: cannot write to standard output\n");
    return 3;
  }
  const absl::Status status = WriteFileAtomic(args.out, text);
  if (!status.ok()) {
    std::fprintf(stderr, "ledger: %s\n", std::string(status.message()).c_str());
    return 3;
  }
  std::fprintf(stderr, "wrote %s\n", args.out.c_str());
  return 0;
}

std::string ShortKey(const std::string& key) { return key.substr(0, 12); }

std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right) {
  std::vector<size_t> widths(right.size(), 0);
  for (const auto& row : rows) {
    for (size_t c = 0; c < row.size() && c < widths.size(); ++c) widths[c] = std::max(widths[c], Width(row[c]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size() && c < widths.size(); ++c) {
      const std::string pad(widths[c] - Width(row[c]), ' ');
      absl::StrAppend(&line, c == 0 ? "" : "  ", right[c] ? pad : "", row[c], right[c] ? "" : pad);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string Printable(const std::string& text) {
  std::string line;
  for (const char c : text) {
    if (c == '\n') {
      line += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      line += absl::StrFormat("\\x%02x", static_cast<unsigned char>(c));
    } else {
      line += c;
    }
  }
  return line;
}

std::string UtcTime(int64_t ns) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixNanos(ns), absl::UTCTimeZone());
}

std::string MetricName(const Metric& metric) {
  std::vector<std::string> where;
  if (!metric.domain().empty()) where.push_back(metric.domain());
  if (metric.has_layer()) where.push_back(absl::StrCat("layer ", metric.layer()));
  if (where.empty()) return Printable(metric.name());
  return Printable(absl::StrCat(metric.name(), "[", absl::StrJoin(where, ", "), "]"));
}

std::string Number(const Metric& metric) {
  return metric.has_value() ? absl::StrFormat("%.6g", metric.value()) : "missing";
}

}  // namespace eaq
