// What a person sees while a sweep runs, on standard error: one block that is redrawn on a terminal, lines with a time
// elsewhere.
#ifndef EXPERIMENTS_PROGRESS_VIEW_H_
#define EXPERIMENTS_PROGRESS_VIEW_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace eaq {

struct WorkerView {
  std::string trial, stage;
  int64_t done = 0, total = 0, memory = 0;
  double seconds = 0;
};
struct SweepView {
  int64_t done = 0, failed = 0, left = 0;  // left: running ones included
  double seconds_left = -1;                // negative: unknown
  std::vector<WorkerView> workers;
};

// At most 4 + workers lines of at most WIDTH columns.
std::vector<std::string> RenderBlock(const SweepView& view, int width);
std::string HumanSeconds(double seconds);  // "47 s", "3 min 20 s", "2 h 5 min"
std::string HumanBytes(int64_t bytes);     // "1.2 GiB"

class ProgressView {
 public:
  enum class Mode { kBlock, kLines, kQuiet };
  explicit ProgressView(Mode mode) : mode_(mode) {}
  ~ProgressView() { Clear(); }
  // A block on a terminal that can do it, lines elsewhere.
  static Mode Choose(bool quiet);

  void Event(const std::string& text);      // also when quiet if IMPORTANT
  void Important(const std::string& text);  // failures, interrupts
  void Draw(const SweepView& view);         // at most 8 times a second
  void Clear();

 private:
  void Print(const std::string& text);
  Mode mode_;
  size_t drawn_ = 0;  // lines of the block on the screen
  std::chrono::steady_clock::time_point last_;
};

}  // namespace eaq

#endif  // EXPERIMENTS_PROGRESS_VIEW_H_
