// From the sources of documentation to plain paragraphs: markup, licences and page furniture out, white space
// normalised. Every function is pure, never fails, and takes any bytes.
//
// What "clean" means: paragraphs stand on one line each and are parted by one empty line; code keeps its lines and
// indentation; no trailing blanks; no run of empty lines; ends with one newline (or is empty).
#ifndef EAQ_TEXT_TEXT_CLEANING_H_
#define EAQ_TEXT_TEXT_CLEANING_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq {

// reStructuredText as Sphinx uses it: roles, links and emphasis become their text, directives their content,
// labels, index entries and comments vanish, headings lose their underline, code blocks stay.
std::string CleanRst(absl::string_view rst);

// man(7) source: fonts and spacing requests vanish, .SH and .SS become lines of their own, tables and macro
// definitions vanish, the last sections (translators, reporting bugs, copyright) are left out.
std::string CleanMan(absl::string_view man);

// Source code: comment blocks that speak of copyright or licence vanish, the rest stays as it is.
std::string CleanCode(absl::string_view code);

// The entries of a dictd database: a headword in column 0, its text indented. Cross-reference braces, phonetic
// spellings, source tags and dates vanish; paragraphs are unwrapped. One string per entry, empty ones left out.
std::vector<std::string> CleanDictEntries(absl::string_view text);

// Collapses the blanks of every line, drops trailing ones, and at most one empty line in a row stays.
std::string NormalizeSpace(absl::string_view text);

}  // namespace eaq

#endif  // EAQ_TEXT_TEXT_CLEANING_H_
