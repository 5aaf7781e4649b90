#include "experiments/spec_lists.h"

#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace eaq {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr int kMaxDepth = 100;

class Scanner {
 public:
  Scanner(absl::string_view text, std::vector<SpecList>& found) : text_(text), found_(found) {}

  // The fields of one message, up to its closing bracket (left unread) or the end. TYPE may be null: unknown.
  void Fields(const Descriptor* type, int depth) {
    std::map<const FieldDescriptor*, int> count;
    for (;;) {
      Blanks();
      if (Done() || Peek() == '}' || Peek() == '>') return;
      const FieldDescriptor* field = nullptr;
      if (absl::ascii_isalpha(Peek()) || Peek() == '_') {
        const std::string name(Word());
        if (type != nullptr) field = type->FindFieldByName(name);
      } else if (Peek() == '[') {  // [type.googleapis.com/...]: an Any or an extension
        SkipBrackets();
      } else {
        Skip();
        continue;
      }
      Blanks();
      if (!Done() && Peek() == ':') ++at_;
      Blanks();
      if (Done()) return;
      Value(field, count, depth);
    }
  }

 private:
  bool Done() const { return at_ >= text_.size(); }
  char Peek() const { return text_[at_]; }

  void Value(const FieldDescriptor* field, std::map<const FieldDescriptor*, int>& count, int depth) {
    const auto step = [&] { return PathStep{field, field != nullptr && field->is_repeated() ? count[field]++ : -1}; };
    if (Peek() == '{' || Peek() == '<') return Message(field, step(), depth);
    if (Peek() != '[') return Scalar(field != nullptr ? step() : PathStep{});
    if (field != nullptr && !field->is_repeated() && field->message_type() == nullptr) return List(field);
    if (field != nullptr && field->message_type() != nullptr) {  // recipe: [{ ... }, { ... }]
      ++at_;
      for (;;) {
        Blanks();
        if (Done()) return;
        if (Peek() == ']') {
          ++at_;
          return;
        }
        if (Peek() == '{' || Peek() == '<') {
          Message(field, step(), depth);
        } else {
          Skip();
        }
      }
    }
    SkipBrackets();
  }

  void Message(const FieldDescriptor* field, PathStep step, int depth) {
    if (depth >= kMaxDepth) return SkipBrackets();
    ++at_;
    path_.push_back(step);
    // Below an element that is not known nothing is recorded.
    Fields(field != nullptr ? field->message_type() : nullptr, depth + 1);
    path_.pop_back();
    if (!Done()) ++at_;
  }

  void List(const FieldDescriptor* field) {
    SpecList list;
    list.path = path_;
    list.path.push_back({field, -1});
    list.begin = at_++;
    size_t start = at_;
    const auto add = [&](bool last) {
      const absl::string_view value = Trim(start, at_);
      if (!value.empty() || !last || !list.values.empty()) list.values.push_back(value);
    };
    for (;;) {
      Comments(start);
      if (Done()) return;  // never closed: protobuf says so
      if (Peek() == ']') break;
      if (Peek() == ',') {
        add(false);
        start = ++at_;
      } else {
        Skip();
      }
    }
    add(true);
    list.end = ++at_;
    found_.push_back(std::move(list));
  }

  // Comments inside a list, in front of a value, are no part of it.
  void Comments(size_t& start) {
    const size_t before = at_;
    Blanks();
    if (Trim(start, before).empty()) start = at_;
  }

  absl::string_view Trim(size_t begin, size_t end) const {
    absl::string_view value = text_.substr(begin, end - begin);
    const size_t comment = value.find('#');
    if (comment != absl::string_view::npos && value.find_first_of("\"'") > comment) value = value.substr(0, comment);
    return absl::StripAsciiWhitespace(value);
  }

  void Scalar(PathStep) {
    for (;;) {
      if (Peek() == '"' || Peek() == '\'') {
        String();
        Blanks();  // strings side by side are one value
        if (Done() || (Peek() != '"' && Peek() != '\'')) return;
        continue;
      }
      if (Peek() == '-') {
        ++at_;
        Blanks();
        if (Done()) return;
      }
      if (Word().empty() && !Done()) Skip();
      return;
    }
  }

  // One character, string or bracketed group.
  void Skip() {
    if (Peek() == '"' || Peek() == '\'') return String();
    if (Peek() == '[' || Peek() == '{' || Peek() == '<') return SkipBrackets();
    ++at_;
  }

  void SkipBrackets() {
    int depth = 0;
    do {
      Blanks();
      if (Done()) return;
      const char c = Peek();
      if (c == '"' || c == '\'') {
        String();
        continue;
      }
      if (c == '[' || c == '{' || c == '<') ++depth;
      if (c == ']' || c == '}' || c == '>') --depth;
      ++at_;
    } while (depth > 0);
  }

  void String() {
    const char quote = Peek();
    ++at_;
    while (!Done() && Peek() != quote && Peek() != '\n') at_ += Peek() == '\\' ? 2 : 1;
    if (!Done()) ++at_;
  }

  absl::string_view Word() {
    const size_t begin = at_;
    while (!Done() && (absl::ascii_isalnum(Peek()) || Peek() == '_' || Peek() == '.' || Peek() == '+' ||
                       (Peek() == '-' && at_ > begin))) {
      ++at_;
    }
    return text_.substr(begin, at_ - begin);
  }

  void Blanks() {
    while (!Done()) {
      if (absl::ascii_isspace(Peek())) {
        ++at_;
      } else if (Peek() == '#') {
        while (!Done() && Peek() != '\n') ++at_;
      } else {
        return;
      }
    }
  }

  absl::string_view text_;
  std::vector<SpecList>& found_;
  std::vector<PathStep> path_;
  size_t at_ = 0;
};

}  // namespace

std::vector<SpecList> FindLists(absl::string_view text, const Descriptor* root) {
  std::vector<SpecList> found;
  Scanner(text, found).Fields(root, 0);
  return found;
}

std::string KeepOne(absl::string_view text, const std::vector<SpecList>& lists, size_t which) {
  std::string out(text);
  for (const SpecList& list : lists) {
    if (list.values.empty()) continue;
    const absl::string_view keep = list.values[which < list.values.size() ? which : 0];
    if (keep.empty()) continue;  // "[1, , 2]": protobuf complains at the list
    const size_t keep_begin = keep.data() - text.data();
    for (size_t i = list.begin; i < list.end; ++i) {
      if (i >= keep_begin && i < keep_begin + keep.size()) continue;
      if (out[i] != '\n' && out[i] != '\r' && out[i] != '\t') out[i] = ' ';
    }
  }
  return out;
}

}  // namespace eaq
