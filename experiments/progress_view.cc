#include "experiments/progress_view.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace eaq {
namespace {

int TerminalWidth() {
  winsize size;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string HumanSeconds(double seconds) {
  const int64_t s = static_cast<int64_t>(seconds + 0.5);
  if (s < 60) return absl::StrCat(s, " s");
  if (s < 3600) return absl::StrCat(s / 60, " min ", s % 60, " s");
  return absl::StrCat(s / 3600, " h ", s / 60 % 60, " min");
}

std::string HumanBytes(int64_t bytes) {
  if (bytes >= int64_t{1} << 30) return absl::StrFormat("%.1f GiB", bytes / 0x1p30);
  return absl::StrFormat("%.0f MiB", bytes / 0x1p20);
}

std::vector<std::string> RenderBlock(const SweepView& view, int width) {
  std::vector<std::string> lines;
  std::string head = absl::StrCat(view.done, " done, ", view.failed, " failed, ", view.left, " left");
  if (view.seconds_left >= 0) absl::StrAppend(&head, ", about ", HumanSeconds(view.seconds_left));
  lines.push_back(head);
  for (const WorkerView& worker : view.workers) {
    std::string line = absl::StrCat("  ", worker.trial, " - ", worker.stage.empty() ? "starting" : worker.stage);
    if (worker.total > 0) absl::StrAppend(&line, " ", worker.done, "/", worker.total);
    if (worker.memory > 0) absl::StrAppend(&line, " - ", HumanBytes(worker.memory));
    absl::StrAppend(&line, " - ", HumanSeconds(worker.seconds));
    lines.push_back(line);
  }
  for (std::string& line : lines) {
    if (static_cast<int>(line.size()) >= width) line.resize(width > 1 ? width - 1 : 0);
  }
  return lines;
}

ProgressView::Mode ProgressView::Choose(bool quiet) {
  if (quiet) return Mode::kQuiet;
  const char* term = std::getenv("TERM");
  const bool can = isatty(STDERR_FILENO) && term != nullptr && std::strcmp(term, "dumb") != 0;
  return can ? Mode::kBlock : Mode::kLines;
}

void ProgressView::Print(const std::string& text) {
  Clear();
  if (mode_ == Mode::kLines) {
    std::fprintf(stderr, "%s %s\n", absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone()).c_str(),
                 text.c_str());
  } else {
    std::fprintf(stderr, "%s\n", text.c_str());
  }
}

void ProgressView::Event(const std::string& text) {
  if (mode_ != Mode::kQuiet) Print(text);
}

void ProgressView::Important(const std::string& text) { Print(text); }

void ProgressView::Draw(const SweepView& view) {
  if (mode_ != Mode::kBlock) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(125)) return;
  last_ = now;
  std::string out;
  if (drawn_ > 0) absl::StrAppend(&out, "\x1b[", drawn_, "A\r\x1b[J");
  const std::vector<std::string> lines = RenderBlock(view, TerminalWidth());
  for (const std::string& line : lines) absl::StrAppend(&out, line, "\n");
  drawn_ = lines.size();
  std::fputs(out.c_str(), stderr);
}

void ProgressView::Clear() {
  if (drawn_ > 0) std::fprintf(stderr, "\x1b[%zuA\r\x1b[J", drawn_);
  drawn_ = 0;
}

}  // namespace eaq
