// Where long work reports how far it is. The library only calls; what a person sees is decided by the program.
#ifndef EAQ_BASE_PROGRESS_H_
#define EAQ_BASE_PROGRESS_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace eaq {

class ProgressSink {
 public:
  virtual ~ProgressSink() = default;
  // STAGE ("profile", "solve", "evaluate", ...) has done DONE of TOTAL units (layers, windows, steps). Called from one
  // thread at a time.
  virtual void Update(absl::string_view stage, int64_t done, int64_t total) = 0;
};

// Ignores everything.
class NullProgress : public ProgressSink {
 public:
  void Update(absl::string_view, int64_t, int64_t) override {}
};

}  // namespace eaq

#endif  // EAQ_BASE_PROGRESS_H_
