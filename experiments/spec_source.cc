#include "experiments/spec_source.h"

#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace eaq {
namespace {

constexpr int kTab = 8;
constexpr int kShown = 160;  // characters of a line that are shown

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// Length of the UTF-8 sequence at TEXT[i], 0 when it is malformed (overlong, surrogate, beyond U+10FFFF, cut off).
size_t SequenceLength(absl::string_view text, size_t i) {
  const uint8_t c = text[i];
  if (c < 0x80) return 1;
  const size_t n = c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
  if (n == 0 || i + n > text.size()) return 0;
  for (size_t k = 1; k < n; ++k) {
    if (!IsContinuation(text[i + k])) return 0;
  }
  const uint8_t second = text[i + 1];
  if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) || (c == 0xF0 && second < 0x90) ||
      (c == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return n;
}

}  // namespace

SpecSource::SpecSource(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {
  if (absl::StartsWith(text_, "\xEF\xBB\xBF")) text_.erase(0, 3);
}

SpecPosition SpecSource::PositionOf(size_t offset) const {
  SpecPosition position{0, 0};
  for (size_t i = 0; i < offset && i < text_.size(); ++i) {
    if (text_[i] == '\n') {
      ++position.line;
      position.column = 0;
    } else if (text_[i] == '\t') {
      position.column += kTab - position.column % kTab;
    } else {
      ++position.column;
    }
  }
  return position;
}

SpecPosition SpecSource::LastBefore(SpecPosition at, absl::string_view name) const {
  // The offset of AT, found by walking: columns count tabs.
  size_t offset = 0;
  SpecPosition here{0, 0};
  while (offset < text_.size() && (here.line < at.line || (here.line == at.line && here.column < at.column))) {
    if (text_[offset] == '\n') {
      ++here.line;
      here.column = 0;
    } else {
      here.column += text_[offset] == '\t' ? kTab - here.column % kTab : 1;
    }
    ++offset;
  }
  const size_t found = text_.rfind(std::string(name), offset);
  return found == std::string::npos ? at : PositionOf(found);
}

absl::string_view SpecSource::Line(int line) const {
  absl::string_view rest = text_;
  for (int i = 0; i < line; ++i) {
    const size_t end = rest.find('\n');
    if (end == absl::string_view::npos) return "";
    rest.remove_prefix(end + 1);
  }
  rest = rest.substr(0, rest.find('\n'));
  if (absl::EndsWith(rest, "\r")) rest.remove_suffix(1);
  return rest;
}

std::string SpecSource::Describe(SpecPosition position, absl::string_view message) const {
  if (position.line < 0) return absl::StrCat(name_, ": ", message);
  const absl::string_view line = Line(position.line);
  int column = 0;      // as the tokenizer counts
  int characters = 0;  // before the place
  std::string shown, indent;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    const bool before = column < position.column;
    if (characters < kShown || (IsContinuation(c) && characters <= kShown)) {
      shown += c == '\t' ? ' ' : (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) ? '?' : c;
    }
    if (before && !IsContinuation(c)) {
      ++characters;
      indent += ' ';
    } else if (!before && static_cast<int>(i) >= kShown * 4) {
      break;
    }
    column += c == '\t' ? kTab - column % kTab : 1;
  }
  std::string text = absl::StrFormat("%s:%d:%d: %s", name_, position.line + 1, characters + 1, std::string(message));
  if (characters < kShown && !line.empty()) absl::StrAppend(&text, "\n  ", shown, "\n  ", indent, "^");
  return text;
}

absl::Status SpecSource::Error(SpecPosition position, absl::string_view message) const {
  return absl::InvalidArgumentError(Describe(position, message));
}

absl::Status SpecSource::CheckEncoding() const {
  for (size_t i = 0; i < text_.size();) {
    const uint8_t c = text_[i];
    const size_t n = SequenceLength(text_, i);
    if (n == 0) {
      // The line itself is not shown: a terminal could not.
      const SpecPosition at = PositionOf(i);
      return absl::InvalidArgumentError(absl::StrFormat("%s:%d:%d: byte 0x%02x is not UTF-8; save the file as UTF-8",
                                                        name_, at.line + 1, at.column + 1, c));
    }
    if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
      return Error(PositionOf(i), absl::StrFormat("control character 0x%02x", c));
    }
    i += n;
  }
  return absl::OkStatus();
}

}  // namespace eaq
