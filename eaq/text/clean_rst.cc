// reStructuredText to text; see text_cleaning.h. The markup: docutils' "reStructuredText Markup Specification".
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "eaq/text/text_cleaning.h"

namespace eaq {
namespace {

bool IsRule(absl::string_view text) {  // an underline, a table border, a separator
  return text.size() >= 2 &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::StrContains("=-~^*#+\"'`.:_ |", c); });
}

size_t Indent(absl::string_view line) {
  const size_t at = line.find_first_not_of(' ');
  return at == absl::string_view::npos ? line.size() : at;
}

// The content of `...`: "text <target>" -> "text", "~a.b.c" -> "c", "!x" -> "x".
absl::string_view LinkText(absl::string_view content) {
  const size_t open = content.find(" <");
  if (open != absl::string_view::npos && content.back() == '>') return content.substr(0, open);
  if (absl::StartsWith(content, "~")) {
    const size_t dot = content.rfind('.');
    return dot == absl::string_view::npos ? content.substr(1) : content.substr(dot + 1);
  }
  if (absl::StartsWith(content, "!")) content.remove_prefix(1);
  return content;
}

// Removes inline markup from a line of prose.
std::string Inline(absl::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\\' && i + 1 < line.size()) {
      if (line[i + 1] != ' ') out += line[i + 1];
      ++i;
      continue;
    }
    if (c == ':' && (i == 0 || !absl::ascii_isalnum(line[i - 1]))) {  // :role:`text`
      size_t j = i + 1;
      while (j < line.size() && (absl::ascii_isalnum(line[j]) || absl::StrContains("-_:.", line[j])) && line[j] != '`')
        ++j;
      if (j > i + 1 && j < line.size() && line[j] == '`' && line[j - 1] == ':') {
        const size_t close = line.find('`', j + 1);
        if (close != absl::string_view::npos && close > j + 1) {
          absl::StrAppend(&out, LinkText(line.substr(j + 1, close - j - 1)));
          i = close;
          continue;
        }
      }
    }
    if (c == '`') {
      if (line.substr(i, 2) == "``") {
        const size_t close = line.find("``", i + 2);
        if (close != absl::string_view::npos) {
          absl::StrAppend(&out, line.substr(i + 2, close - i - 2));
          i = close + 1;
          continue;
        }
      } else {
        const size_t close = line.find('`', i + 1);
        if (close != absl::string_view::npos && close > i + 1) {
          absl::StrAppend(&out, LinkText(line.substr(i + 1, close - i - 1)));
          i = close;
          while (i + 1 < line.size() && line[i + 1] == '_') ++i;
          continue;
        }
      }
    }
    if (c == '*') {
      const size_t width = line.substr(i, 2) == "**" ? 2 : 1;
      const size_t close = line.find(line.substr(i, width), i + width);
      const bool opens = i + width < line.size() && line[i + width] != ' ' && close != absl::string_view::npos &&
                         close > i + width && line[close - 1] != ' ';
      if (opens) {
        absl::StrAppend(&out, line.substr(i + width, close - i - width));
        i = close + width - 1;
        continue;
      }
    }
    out += c;
  }
  return out;
}

bool IsOneOf(absl::string_view name, std::initializer_list<absl::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

class RstReader {
 public:
  std::string Read(absl::string_view rst) {
    lines_ = absl::StrSplit(rst, '\n');
    for (at_ = 0; at_ < lines_.size(); ++at_) Line();
    EndParagraph();
    return NormalizeSpace(out_);
  }

 private:
  void EndParagraph() {
    if (!paragraph_.empty()) {
      std::string text = Inline(paragraph_);
      if (absl::EndsWith(text, "::")) text.pop_back();
      if (text != ":") absl::StrAppend(&out_, text, "\n");
    }
    paragraph_.clear();
  }
  // Skips what follows and is indented deeper than `indent`.
  void SkipBlock(size_t indent) {
    while (at_ + 1 < lines_.size()) {
      const absl::string_view next = absl::StripTrailingAsciiWhitespace(lines_[at_ + 1]);
      if (!next.empty() && Indent(next) <= indent) break;
      ++at_;
    }
  }
  // Copies the indented block after the present line as it stands, less its own indentation.
  void CopyBlock(size_t indent) {
    out_ += '\n';
    size_t own = 0;
    while (at_ + 1 < lines_.size()) {
      const absl::string_view next = absl::StripTrailingAsciiWhitespace(lines_[at_ + 1]);
      if (!next.empty() && Indent(next) <= indent) break;
      ++at_;
      if (own == 0 && !next.empty()) own = Indent(next);
      if (own == 0 || (Indent(next) == own && absl::StartsWith(next.substr(own), ":") && out_.back() == '\n' &&
                       absl::EndsWith(next, ":") == false && absl::StrContains(next.substr(own + 1), ": "))) {
        continue;
      }
      absl::StrAppend(&out_, next.empty() ? next : next.substr(std::min(own, Indent(next))), "\n");
    }
    out_ += '\n';
  }
  void Directive(absl::string_view bare, size_t indent) {
    EndParagraph();
    const size_t mark = bare.find("::");
    if (mark == absl::string_view::npos || absl::StartsWith(bare, ".. _") || absl::StartsWith(bare, ".. |") ||
        absl::StartsWith(bare, ".. [")) {
      return SkipBlock(indent);  // a comment, a label, a substitution
    }
    absl::string_view name = bare.substr(3, mark - 3);
    const absl::string_view argument = absl::StripAsciiWhitespace(bare.substr(mark + 2));
    if (absl::StrContains(name, ' ')) return SkipBlock(indent);
    if (absl::StartsWith(name, "c:") || absl::StartsWith(name, "py:")) name = name.substr(name.find(':') + 1);
    if (IsOneOf(name, {"code-block", "sourcecode", "doctest", "testcode", "testoutput", "parsed-literal", "code",
                       "highlight"})) {
      return name == "highlight" ? void() : CopyBlock(indent);
    }
    if (IsOneOf(name, {"note", "warning", "seealso", "tip", "important", "hint", "caution", "impl-detail", "rubric",
                       "topic", "centered", "admonition", "deprecated", "versionadded", "versionchanged",
                       "deprecated-removed", "availability"})) {
      std::string lead =
          absl::StrCat(Title(name), argument.empty() || !IsVersion(name) ? "" : " ", IsVersion(name) ? argument : "");
      if (!IsVersion(name) && !argument.empty()) absl::StrAppend(&lead, lead.empty() ? "" : ": ", Inline(argument));
      if (!lead.empty()) absl::StrAppend(&out_, "\n", lead, "\n");
      return;
    }
    if (IsOneOf(name, {"function",
                       "method",
                       "class",
                       "data",
                       "attribute",
                       "exception",
                       "decorator",
                       "classmethod",
                       "staticmethod",
                       "coroutinefunction",
                       "coroutinemethod",
                       "describe",
                       "opcode",
                       "option",
                       "envvar",
                       "macro",
                       "member",
                       "type",
                       "var",
                       "cmdoption",
                       "pdbcommand",
                       "property",
                       "struct",
                       "awaitablefunction",
                       "awaitablemethod",
                       "abstractmethod",
                       "asyncmethod",
                       "audit-event",
                       "2to3fixer",
                       "decoratormethod",
                       "enum",
                       "enumerator",
                       "asyncfunction",
                       "monitoring-event"})) {
      absl::StrAppend(&out_, "\n", argument, "\n");
      // Further signatures stand below the first, at the same column or deeper, before the empty line.
      while (at_ + 1 < lines_.size()) {
        const absl::string_view next = absl::StripAsciiWhitespace(lines_[at_ + 1]);
        if (next.empty()) break;
        if (!absl::StartsWith(next, ":")) absl::StrAppend(&out_, next, "\n");
        ++at_;
      }
      return;
    }
    SkipBlock(indent);  // module, index, toctree, image, table helpers, ...: no prose
  }
  static bool IsVersion(absl::string_view name) {
    return absl::StartsWith(name, "version") || absl::StartsWith(name, "deprecated");
  }
  static absl::string_view Title(absl::string_view name) {
    if (name == "versionadded") return "New in version";
    if (name == "versionchanged") return "Changed in version";
    if (absl::StartsWith(name, "deprecated")) return "Deprecated since version";
    if (name == "note" || name == "impl-detail") return "Note";
    if (name == "warning" || name == "caution") return "Warning";
    if (name == "seealso") return "See also";
    if (name == "availability") return "Availability";
    return "";
  }
  void Line() {
    const absl::string_view line = absl::StripTrailingAsciiWhitespace(lines_[at_]);
    const absl::string_view bare = absl::StripLeadingAsciiWhitespace(line);
    const size_t indent = Indent(line);
    if (bare.empty()) {
      const bool literal = absl::EndsWith(paragraph_, "::");
      EndParagraph();
      out_ += '\n';
      if (literal) {
        CopyBlock(paragraph_indent_);
        out_ += '\n';
      }
      return;
    }
    if (absl::StartsWith(bare, ".. ") || bare == "..") return Directive(bare, indent);
    if (absl::StartsWith(bare, "__ ")) return;
    if (IsRule(bare)) return EndParagraph();
    if (absl::StartsWith(bare, ">>>")) {  // a session: lines stay
      EndParagraph();
      absl::StrAppend(&out_, bare, "\n");
      while (at_ + 1 < lines_.size() && !absl::StripAsciiWhitespace(lines_[at_ + 1]).empty()) {
        const absl::string_view next = absl::StripTrailingAsciiWhitespace(lines_[++at_]);
        absl::StrAppend(&out_, next.substr(std::min(indent, Indent(next))), "\n");
      }
      return;
    }
    if (bare[0] == ':' && paragraph_.empty() && bare.size() > 2 && absl::ascii_isalpha(bare[1])) {
      const size_t close = bare.find(':', 1);  // a field: ":noindex:", ":param x: ..."
      if (close != absl::string_view::npos && close + 1 == bare.size()) return;
    }
    if (bare[0] == '|' || (bare[0] == '+' && bare.back() == '+')) {  // a grid table's row
      EndParagraph();
      std::string row;
      for (absl::string_view cell : absl::StrSplit(bare, '|')) {
        cell = absl::StripAsciiWhitespace(cell);
        if (!cell.empty()) absl::StrAppend(&row, row.empty() ? "" : "  ", Inline(cell));
      }
      absl::StrAppend(&out_, row, "\n");
      return;
    }
    // Lines of a paragraph share their indentation; items and table rows begin anew.
    const bool item = (absl::StartsWith(bare, "* ") || absl::StartsWith(bare, "- ") || absl::StartsWith(bare, "#. ") ||
                       (absl::ascii_isdigit(bare[0]) && absl::StrContains(bare.substr(0, 4), ". ")));
    const bool next_is_rule = at_ + 1 < lines_.size() && IsRule(absl::StripAsciiWhitespace(lines_[at_ + 1]));
    const bool columns = absl::StrContains(bare, "   ");
    if (item || next_is_rule || columns || (!paragraph_.empty() && indent != paragraph_indent_ && !in_item_))
      EndParagraph();
    if (paragraph_.empty()) {
      paragraph_indent_ = indent;
      in_item_ = item;
    }
    absl::StrAppend(&paragraph_, paragraph_.empty() ? "" : " ", bare);
    if (columns) EndParagraph();
  }

  std::vector<absl::string_view> lines_;
  size_t at_ = 0;
  std::string out_;
  std::string paragraph_;
  size_t paragraph_indent_ = 0;
  bool in_item_ = false;
};

}  // namespace

std::string CleanRst(absl::string_view rst) { return RstReader().Read(rst); }

}  // namespace eaq
