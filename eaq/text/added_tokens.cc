#include "eaq/text/added_tokens.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "eaq/text/unicode_class.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace {

// The character that ends at the end of TEXT; false if there is none.
bool LastCharacter(absl::string_view text, uint32_t* code, size_t* length) {
  for (size_t n = 1; n <= 4 && n <= text.size(); ++n) {
    if (DecodeUtf8(text.substr(text.size() - n), code) == static_cast<int>(n)) {
      *length = n;
      return true;
    }
  }
  return false;
}

bool EndsWithWord(absl::string_view text) {
  uint32_t code = 0;
  size_t length = 0;
  return LastCharacter(text, &code, &length) && IsWord(code);
}

bool StartsWithWord(absl::string_view text) {
  uint32_t code = 0;
  return DecodeUtf8(text, &code) != 0 && IsWord(code);
}

}  // namespace

void AddedTokenMatcher::Add(const AddedToken& token) {
  if (token.content.empty()) return;
  std::vector<int>& list = by_first_byte_[static_cast<uint8_t>(token.content[0])];
  list.push_back(static_cast<int>(tokens_.size()));
  tokens_.push_back(token);
  std::stable_sort(list.begin(), list.end(),
                   [&](int a, int b) { return tokens_[a].content.size() > tokens_[b].content.size(); });
}

std::vector<Segment> AddedTokenMatcher::Split(absl::string_view text) const {
  std::vector<Segment> segments;
  size_t done = 0;  // everything before is in segments
  for (size_t i = 0; i < text.size();) {
    const AddedToken* found = nullptr;
    for (int index : by_first_byte_[static_cast<uint8_t>(text[i])]) {
      if (absl::StartsWith(text.substr(i), tokens_[index].content)) {
        found = &tokens_[index];
        break;
      }
    }
    if (found == nullptr) {
      ++i;
      continue;
    }
    size_t begin = i, end = i + found->content.size();
    i = end;
    if (found->single_word && (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end)))) continue;
    uint32_t code = 0;
    size_t length = 0;
    while (found->lstrip && begin > done && LastCharacter(text.substr(0, begin), &code, &length) && IsSpace(code)) {
      begin -= length;
    }
    while (found->rstrip && (length = DecodeUtf8(text.substr(end), &code)) != 0 && IsSpace(code)) end += length;
    begin = std::max(begin, done);
    if (begin > done) segments.push_back({text.substr(done, begin - done), -1});
    segments.push_back({text.substr(begin, std::max(end, begin) - begin), found->id});
    done = std::max(done, end);
  }
  if (done < text.size()) segments.push_back({text.substr(done), -1});
  return segments;
}

}  // namespace eaq
