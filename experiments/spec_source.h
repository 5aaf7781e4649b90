// The text of a spec and places in it: errors that point with file, line, column, the line itself and a caret.
#ifndef EXPERIMENTS_SPEC_SOURCE_H_
#define EXPERIMENTS_SPEC_SOURCE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace eaq {

// Zero-based; COLUMN as protobuf's tokenizer counts: bytes, a tab goes to the next multiple of 8. line < 0: unknown.
struct SpecPosition {
  int line = -1;
  int column = 0;
};

class SpecSource {
 public:
  SpecSource() = default;
  // A byte-order mark in front is dropped.
  SpecSource(std::string name, std::string text);

  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }

  SpecPosition PositionOf(size_t offset) const;
  // Where NAME last starts at or before AT; AT itself when it does not.
  SpecPosition LastBefore(SpecPosition at, absl::string_view name) const;

  // "name:3:14: message\n  the line\n      ^", lines and columns (characters) from one; "name: message" for an unknown
  // position.
  std::string Describe(SpecPosition position, absl::string_view message) const;
  absl::Status Error(SpecPosition position, absl::string_view message) const;

  // InvalidArgument at the first byte that is not UTF-8, and at control characters other than tab, CR and LF.
  absl::Status CheckEncoding() const;

 private:
  absl::string_view Line(int line) const;
  std::string name_, text_;
};

}  // namespace eaq

#endif  // EXPERIMENTS_SPEC_SOURCE_H_
