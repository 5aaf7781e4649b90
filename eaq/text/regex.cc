#define PCRE2_CODE_UNIT_WIDTH 8
#include "eaq/text/regex.h"

#include <pcre2.h>

#include "absl/strings/str_cat.h"
#include "eaq/text/unicode_class.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace {

constexpr char kSpaceSet[] =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";

struct MatchData {
  explicit MatchData(const pcre2_code* code) : data(pcre2_match_data_create_from_pattern(code, nullptr)) {}
  ~MatchData() { pcre2_match_data_free(data); }
  pcre2_match_data* data;
};

// \s+$ with $ before every newline: of each run of white space, what stands before the run's last newline, or the
// whole run at the end of the text. (One pass, where backtracking tries every place of the run.)
void FindTrailingSpace(absl::string_view text, std::vector<std::pair<size_t, size_t>>* matches) {
  size_t i = 0;
  while (i < text.size()) {
    uint32_t code = 0;
    const int length = DecodeUtf8(text.substr(i), &code);
    if (length == 0 || !IsSpace(code)) {
      i += length == 0 ? 1 : length;
      continue;
    }
    const size_t begin = i;
    size_t newline = begin;  // the last newline of the run, if any
    while (i < text.size()) {
      const int n = DecodeUtf8(text.substr(i), &code);
      if (n == 0 || !IsSpace(code)) break;
      if (text[i] == '\n') newline = i;
      i += n;
    }
    const size_t end = i == text.size() ? i : newline;
    if (end > begin) matches->emplace_back(begin, end);
  }
}

}  // namespace

absl::StatusOr<std::string> TranslateSpaceClass(absl::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        absl::StrAppend(&out, in_class ? "" : "[", kSpaceSet, in_class ? "" : "]");
      } else if (next == 'S') {
        if (in_class) {
          return absl::UnimplementedError(
              absl::StrCat("the pattern ", pattern, " has \\S inside of a class; only \\s is supported there"));
        }
        absl::StrAppend(&out, "[^", kSpaceSet, "]");
      } else {
        out += c;
        out += next;
      }
      continue;
    }
    if (in_class) {
      if (c == ']') in_class = false;
      if (c == '[' && !(i + 1 < pattern.size() && pattern[i + 1] == ':')) {
        out += "\\[";
        continue;
      }
    } else if (c == '[') {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') {
        out += "\\]";
        ++i;
      }
      continue;
    }
    out += c;
  }
  return out;
}

absl::StatusOr<std::shared_ptr<const Regex>> Regex::Compile(absl::string_view pattern) {
  if (pattern.size() > 100000) {
    return absl::InvalidArgumentError(absl::StrCat("a pattern of ", pattern.size(), " bytes; expected at most 100000"));
  }
  const absl::StatusOr<std::string> translated = TranslateSpaceClass(pattern);
  if (!translated.ok()) return translated.status();
  std::shared_ptr<Regex> regex(new Regex());
  regex->trailing_space_ = pattern == "\\s+$";
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    char message[256] = "";
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof(message));
    return absl::InvalidArgumentError(absl::StrCat("the pattern ", pattern.substr(0, 200), " cannot be compiled: ",
                                                   message, " (at byte ", offset, " of its translation)"));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without JIT it is slower, not wrong
  regex->code_ = code;
  return std::shared_ptr<const Regex>(regex);
}

Regex::~Regex() { pcre2_code_free(static_cast<pcre2_code*>(code_)); }

absl::Status Regex::FindAll(absl::string_view text, std::vector<std::pair<size_t, size_t>>* matches) const {
  if (trailing_space_) {
    FindTrailingSpace(text, matches);
    return absl::OkStatus();
  }
  const auto* code = static_cast<const pcre2_code*>(code_);
  const MatchData match(code);
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t at = 0;
  while (at < text.size()) {
    const int rc = pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, match.data, nullptr);
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) {
      return absl::ResourceExhaustedError(absl::StrCat("a split pattern of the tokenizer gave up at byte ", at,
                                                       " of a text of ", text.size(), " bytes (PCRE2 error ", rc, ")"));
    }
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.data);
    if (range[1] > range[0]) matches->emplace_back(range[0], range[1]);
    if (range[1] > at) {
      at = range[1];
    } else {  // an empty match: step over one character
      ++at;
      while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
    }
  }
  return absl::OkStatus();
}

}  // namespace eaq
