// man(7) source to text; see text_cleaning.h. Requests: groff_man(7); escapes: groff(7).
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

// The characters that groff names, as far as translated pages use them.
absl::string_view NamedCharacter(absl::string_view name) {
  static constexpr struct {
    const char* name;
    const char* text;
  } kTable[] = {{"aq", "'"},  {"bu", "*"},  {"dq", "\""}, {"lq", "\""}, {"rq", "\""}, {"oq", "'"},    {"cq", "'"},
                {"em", "-"},  {"en", "-"},  {"hy", "-"},  {"mi", "-"},  {"co", ""},   {"ti", "~"},    {"ha", "^"},
                {"ga", "`"},  {"rs", "\\"}, {"ua", "^"},  {"or", "|"},  {"Fo", "«"},  {"Fc", "»"},    {"mu", "x"},
                {"->", "->"}, {"<-", "<-"}, {"<=", "<="}, {">=", ">="}, {"Em", "-"},  {"char46", "."}};
  for (const auto& row : kTable) {
    if (name == row.name) return row.text;
  }
  return "";
}

// Removes or replaces the escapes of one line.
std::string Unescape(absl::string_view line) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\') {
      out += line[i];
      continue;
    }
    if (++i >= line.size()) break;
    switch (line[i]) {
      case '"':
      case '#':
        return out;  // a comment
      case 'f':
      case 'F':
      case 'm':
      case 'M':
      case 'n':
      case '*':
      case 'k':
        // One letter, "(xx" or "[...]".
        if (i + 1 < line.size() && line[i + 1] == '(') {
          if (line[i] == '*') absl::StrAppend(&out, NamedCharacter(line.substr(i + 2, 2)));
          i += 3;
        } else if (i + 1 < line.size() && line[i + 1] == '[') {
          const size_t close = line.find(']', i);
          i = close == absl::string_view::npos ? line.size() : close;
        } else {
          ++i;
        }
        break;
      case 's':
        if (i + 1 < line.size() && (line[i + 1] == '-' || line[i + 1] == '+')) ++i;
        if (i + 1 < line.size() && absl::ascii_isdigit(line[i + 1])) ++i;
        break;
      case '(':
        absl::StrAppend(&out, NamedCharacter(line.substr(i + 1, 2)));
        i += 2;
        break;
      case '[': {
        const size_t close = line.find(']', i);
        if (close == absl::string_view::npos) return out;
        absl::StrAppend(&out, NamedCharacter(line.substr(i + 1, close - i - 1)));
        i = close;
        break;
      }
      case 'h':
      case 'v':
      case 'w':
      case 'o':
      case 'l':
      case 'L':
      case 'D':
      case 'H':
      case 'S':
      case 'b':
      case 'z':
        if (i + 1 < line.size() && line[i + 1] == '\'') {
          const size_t close = line.find('\'', i + 2);
          i = close == absl::string_view::npos ? line.size() : close;
        }
        break;
      case 'e':
      case '\\':
        out += '\\';
        break;
      case ' ':
      case '~':
      case '0':
        out += ' ';
        break;
      case '-':
        out += '-';
        break;
      case '\'':
      case '`':
      case '.':
        out += line[i];
        break;
      default:  // \& \| \^ \, \/ \: \% \c \p \d \u \t ...: no text
        break;
    }
  }
  return out;
}

// The arguments of a request: blanks part them, quotes hold them together, "" inside quotes is a quote.
std::vector<std::string> Arguments(absl::string_view text) {
  std::vector<std::string> arguments;
  size_t i = 0;
  while (true) {
    while (i < text.size() && text[i] == ' ') ++i;
    if (i >= text.size() || absl::StartsWith(text.substr(i), "\\\"")) return arguments;
    std::string argument;
    if (text[i] == '"') {
      for (++i; i < text.size(); ++i) {
        if (text[i] == '"') {
          if (i + 1 < text.size() && text[i + 1] == '"') {
            argument += text[i++];
            continue;
          }
          break;
        }
        argument += text[i];
      }
      ++i;
    } else {
      while (i < text.size() && text[i] != ' ') {
        if (text[i] == '\\' && i + 1 < text.size()) argument += text[i++];
        argument += text[i++];
      }
    }
    arguments.push_back(std::move(argument));
  }
}

bool IsFurniture(absl::string_view heading) {
  static constexpr const char* kHeadings[] = {
      "TRADUCTION", "COPYRIGHT", "AUTEUR",   "SIGNALER",  "BOGUES",  "COLOPHON", "LICENCE", "AUTHOR",  "VOIR AUSSI",
      "CONTRIBUT",  "DROITS",    "SEE ALSO", "REPORTING", "RAPPORT", "REMERCI",  "MAINTEN", "DISPONIB"};
  for (const char* name : kHeadings) {
    if (absl::StartsWith(heading, name)) return true;
  }
  return false;
}

class ManReader {
 public:
  std::string Read(absl::string_view man) {
    for (absl::string_view line : absl::StrSplit(man, '\n')) Line(line);
    EndParagraph();
    return NormalizeSpace(out_);
  }

 private:
  void EndParagraph() {
    const absl::string_view text = absl::StripAsciiWhitespace(paragraph_);
    if (!text.empty() && !furniture_) absl::StrAppend(&out_, text, "\n");
    paragraph_.clear();
  }
  void Text(absl::string_view text) {
    if (label_) {  // what follows .TP stands on a line of its own
      label_ = false;
      Text(text);
      return EndParagraph();
    }
    if (verbatim_) {
      if (!furniture_) absl::StrAppend(&out_, text, "\n");
      return;
    }
    text = absl::StripAsciiWhitespace(text);
    if (text.empty()) return EndParagraph();
    if (!paragraph_.empty()) paragraph_ += ' ';
    for (char c : text) {
      if (c == ' ' && !paragraph_.empty() && paragraph_.back() == ' ') continue;
      paragraph_ += c == '\t' ? ' ' : c;
    }
  }
  void Line(absl::string_view line) {
    if (skip_until_[0] != '\0') {
      if (absl::StartsWith(line, skip_until_)) skip_until_ = "";
      return;
    }
    if (line.empty() || (line[0] != '.' && line[0] != '\'')) return Text(Unescape(line));
    line = absl::StripLeadingAsciiWhitespace(line.substr(1));
    const size_t space = std::min(line.find(' '), line.size());
    const absl::string_view name = line.substr(0, space);
    const absl::string_view rest = line.substr(space);
    if (name == "SH" || name == "SS" || name == "Sh" || name == "Ss") {
      EndParagraph();
      verbatim_ = false;
      std::string heading;
      for (const std::string& argument : Arguments(rest))
        absl::StrAppend(&heading, heading.empty() ? "" : " ", argument);
      heading = Unescape(heading);
      if (name == "SH" || name == "Sh") furniture_ = IsFurniture(heading);
      if (!furniture_) absl::StrAppend(&out_, "\n", heading, "\n");
    } else if (name == "PP" || name == "P" || name == "LP" || name == "TP" || name == "HP" || name == "sp" ||
               name == "TQ" || name == "br" || name == "RS" || name == "RE" || name == "Sp" || name == "Pp") {
      EndParagraph();
      label_ = name == "TP" || name == "TQ";
      if ((name == "PP" || name == "P" || name == "LP") && !furniture_) out_ += '\n';
    } else if (name == "IP") {
      EndParagraph();
      const std::vector<std::string> arguments = Arguments(rest);
      if (!arguments.empty()) Text(Unescape(arguments[0]));
      if (paragraph_.size() > 2) EndParagraph();  // a label; a bullet stays in front of its text
    } else if (name == "nf" || name == "EX" || name == "Vb") {
      EndParagraph();
      verbatim_ = true;
    } else if (name == "fi" || name == "EE" || name == "Ve") {
      verbatim_ = false;
    } else if (name == "TS") {
      EndParagraph();
      skip_until_ = ".TE";
    } else if (name == "de" || name == "de1" || name == "ig" || name == "am") {
      skip_until_ = "..";
    } else if (name == "B" || name == "I" || name == "SM" || name == "SB" || name == "R" || name == "CW") {
      std::string text;
      for (const std::string& argument : Arguments(rest)) absl::StrAppend(&text, text.empty() ? "" : " ", argument);
      if (!text.empty()) Text(Unescape(text));
    } else if (name == "BR" || name == "IR" || name == "RB" || name == "RI" || name == "BI" || name == "IB") {
      std::string text;
      for (const std::string& argument : Arguments(rest)) text += argument;
      Text(Unescape(text));
    }  // Everything else only moves ink or defines names.
  }

  std::string out_;
  std::string paragraph_;
  bool label_ = false;  // the next text is the label of .TP
  bool verbatim_ = false;
  bool furniture_ = false;  // inside a section that is left out
  const char* skip_until_ = "";
};

}  // namespace

std::string CleanMan(absl::string_view man) { return ManReader().Read(man); }

}  // namespace eaq
