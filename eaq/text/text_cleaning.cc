#include "eaq/text/text_cleaning.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace eaq {

std::string NormalizeSpace(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool gap = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripTrailingAsciiWhitespace(line);
    if (line.empty()) {
      gap = !out.empty();
      continue;
    }
    if (gap) out += '\n';
    gap = false;
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

std::string CleanCode(absl::string_view code) {
  std::string out;
  std::vector<absl::string_view> block;  // comment lines in a row
  const auto flush = [&] {
    bool legal = false;
    for (absl::string_view line : block) {
      const std::string lower = absl::AsciiStrToLower(line);
      legal = legal || absl::StrContains(lower, "copyright") || absl::StrContains(lower, "licen") ||
              absl::StrContains(lower, "all rights reserved");
    }
    if (!legal) {
      for (absl::string_view line : block) absl::StrAppend(&out, line, "\n");
    }
    block.clear();
  };
  for (absl::string_view line : absl::StrSplit(code, '\n')) {
    line = absl::StripTrailingAsciiWhitespace(line);
    const absl::string_view bare = absl::StripLeadingAsciiWhitespace(line);
    if (absl::StartsWith(bare, "#!") || absl::StrContains(bare, "-*- coding")) continue;
    if (absl::StartsWith(bare, "#")) {
      block.push_back(line);
      continue;
    }
    flush();
    absl::StrAppend(&out, line, "\n");
  }
  flush();
  return NormalizeSpace(out);
}

namespace {

// "{word}" -> "word", "\pronunciation\" -> "", runs of blanks -> one.
std::string CleanDictLine(absl::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '{' || c == '}') continue;
    if (c == '\\') {
      const size_t close = line.find('\\', i + 1);
      if (close != absl::string_view::npos && close - i < 60) {
        while (!out.empty() && out.back() == ' ') out.pop_back();
        i = close;
      }
      continue;
    }
    if ((c == ' ' || c == '\t') && (out.empty() || out.back() == ' ')) continue;
    out += c == '\t' ? ' ' : c;
  }
  return out;
}

// `Coyote (k?"?-t? or k?"?t), n.` -> `Coyote, n.`: a first pair of brackets with the signs of a phonetic spelling.
std::string DropPhonetics(const std::string& line) {
  const size_t open = line.find(" (");
  const size_t close = open == std::string::npos ? open : line.find(')', open);
  if (close == std::string::npos || close - open > 60) return line;
  const absl::string_view inside = absl::string_view(line).substr(open, close - open);
  if (inside.find_first_of("\"[?`") == absl::string_view::npos) return line;
  return absl::StrCat(line.substr(0, open), line.substr(close + 1));
}

bool IsAllOf(absl::string_view text, absl::string_view set) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return absl::StrContains(set, c); });
}

// "[1913 Webster]", "[WordNet 1.5 +PJC]", "(1999-01-27)": where an entry comes from and when it changed.
bool IsSourceTag(absl::string_view text) {
  if (text.size() < 3) return false;
  if (text.front() == '(' && text.back() == ')') return IsAllOf(text.substr(1, text.size() - 2), "0123456789-?, ");
  if (text.front() != '[' || text.back() != ']' || text.size() > 40) return false;
  return absl::StrContains(text, "Webster") || absl::StrContains(text, "WordNet") || absl::StrContains(text, "PJC") ||
         absl::StrContains(text, "Century") || absl::StrContains(text, "Jargon") || absl::StrContains(text, "FOLDOC") ||
         absl::StrContains(text, "Dates?") || absl::StrContains(text, "RH") || absl::StrContains(text, "MW");
}

}  // namespace

std::vector<std::string> CleanDictEntries(absl::string_view text) {
  std::vector<std::string> entries;
  std::string entry;      // finished paragraphs of the present entry
  std::string paragraph;  // lines joined so far
  bool has_body = false;
  bool was_indented = false;  // the line before
  const auto end_paragraph = [&] {
    absl::string_view p = absl::StripAsciiWhitespace(paragraph);
    if (absl::StartsWith(p, "<")) {  // "<networking> Text": the subject
      const size_t close = p.find("> ");
      if (close != absl::string_view::npos && close < 40) p = p.substr(close + 2);
    }
    // A paragraph often ends in its source.
    while (!p.empty() && p.back() == ']') {
      const size_t open = p.rfind('[');
      if (open == absl::string_view::npos || !IsSourceTag(p.substr(open))) break;
      p = absl::StripTrailingAsciiWhitespace(p.substr(0, open));
    }
    if (!p.empty() && !IsSourceTag(p) && !absl::StartsWith(p, "Syn: .")) absl::StrAppend(&entry, p, "\n");
    paragraph.clear();
  };
  const auto end_entry = [&] {
    end_paragraph();
    const std::string lower = absl::AsciiStrToLower(entry);
    const bool legal = absl::StrContains(lower, "permission is granted") || absl::StrContains(lower, "copyright (c)") ||
                       absl::StrContains(lower, "gnu free documentation license");
    if (has_body && entry.size() > 40 && !legal) entries.push_back(entry);
    entry.clear();
    has_body = false;
  };
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripTrailingAsciiWhitespace(line);
    if (line.empty()) {
      end_paragraph();
      was_indented = false;
      continue;
    }
    const bool indented = line[0] == ' ' || line[0] == '\t';
    if (!indented) {
      if (paragraph.empty() || was_indented) end_entry();
    } else {
      if (!has_body && !paragraph.empty() && !absl::StrContains(paragraph, ',')) end_paragraph();  // the headword
      has_body = true;
    }
    was_indented = indented;
    const absl::string_view bare = absl::StripAsciiWhitespace(line);
    if (IsSourceTag(bare)) {
      end_paragraph();
      continue;
    }
    // A numbered or lettered sense begins a line of its own: "1. ...", "(a) ...", "Note: ...".
    const bool sense =
        indented && bare.size() > 3 &&
        ((absl::ascii_isdigit(bare[0]) && (bare[1] == '.' || bare[2] == '.')) || (bare[0] == '(' && bare[2] == ')'));
    if (sense) end_paragraph();
    if (!paragraph.empty() && paragraph.back() != ' ') paragraph += ' ';
    paragraph += indented ? CleanDictLine(bare) : DropPhonetics(CleanDictLine(bare));
  }
  end_entry();
  return entries;
}

}  // namespace eaq
