// Added tokens: strings that become one id wherever they stand, before anything else looks at the text.
#ifndef EAQ_TEXT_ADDED_TOKENS_H_
#define EAQ_TEXT_ADDED_TOKENS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace eaq {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character stands beside it
  bool lstrip = false;       // swallows white space on its left
  bool rstrip = false;       // ... on its right
  bool normalized = false;   // looked for in the normalized text
  bool special = false;      // left out by Decode(skip_special)
};

// A part of the text: an added token's id, or (-1) text between them.
struct Segment {
  absl::string_view text;
  int32_t id = -1;
};

class AddedTokenMatcher {
 public:
  // Empty contents are never found.
  void Add(const AddedToken& token);
  bool empty() const { return tokens_.empty(); }
  // Leftmost-longest; the segments between the matches are not empty.
  std::vector<Segment> Split(absl::string_view text) const;

 private:
  std::vector<AddedToken> tokens_;
  std::array<std::vector<int>, 256> by_first_byte_;  // longest content first
};

}  // namespace eaq

#endif  // EAQ_TEXT_ADDED_TOKENS_H_
