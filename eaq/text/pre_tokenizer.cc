#include "eaq/text/pre_tokenizer.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/gpt2_split.h"
#include "eaq/text/json_fields.h"
#include "eaq/text/regex.h"
#include "eaq/text/unicode_class.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace {

using Pieces = std::vector<absl::string_view>;

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space), use_regex_(use_regex) {}
  absl::Status Split(absl::string_view piece, const SplitContext& context, Pieces* out) const override {
    if (add_prefix_space_ && !absl::StartsWith(piece, " ")) {
      context.arena->push_back(absl::StrCat(" ", piece));
      piece = context.arena->back();
    }
    if (use_regex_) {
      SplitGpt2(piece, out);
    } else {
      out->push_back(piece);
    }
    return absl::OkStatus();
  }

 private:
  const bool add_prefix_space_, use_regex_;
};

enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

// Cuts TEXT by the alternating matches and gaps of `ranges` (matches only, increasing).
void CutByMatches(absl::string_view text, const std::vector<std::pair<size_t, size_t>>& ranges, Behavior behavior,
                  bool invert, Pieces* out) {
  struct Part {
    size_t begin, end;
    bool match;
  };
  std::vector<Part> parts;
  size_t at = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin > at) parts.push_back({at, begin, invert});
    parts.push_back({begin, end, !invert});
    at = end;
  }
  if (at < text.size()) parts.push_back({at, text.size(), invert});

  const auto emit = [&](size_t begin, size_t end) {
    if (end > begin) out->push_back(text.substr(begin, end - begin));
  };
  switch (behavior) {
    case Behavior::kIsolated:
      for (const Part& part : parts) emit(part.begin, part.end);
      return;
    case Behavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.match) emit(part.begin, part.end);
      }
      return;
    case Behavior::kMergedWithPrevious:
      for (size_t i = 0; i < parts.size(); ++i) {
        const bool takes_next = !parts[i].match && i + 1 < parts.size() && parts[i + 1].match;
        emit(parts[i].begin, parts[takes_next ? i + 1 : i].end);
        i += takes_next;
      }
      return;
    case Behavior::kMergedWithNext:
      for (size_t i = 0; i < parts.size(); ++i) {
        const bool takes_next = parts[i].match && i + 1 < parts.size() && !parts[i + 1].match;
        emit(parts[i].begin, parts[takes_next ? i + 1 : i].end);
        i += takes_next;
      }
      return;
    case Behavior::kContiguous:
      for (size_t i = 0; i < parts.size();) {
        size_t j = i;
        while (j + 1 < parts.size() && parts[j + 1].match == parts[i].match) ++j;
        emit(parts[i].begin, parts[j].end);
        i = j + 1;
      }
      return;
  }
}

class RegexSplit : public PreTokenizer {
 public:
  RegexSplit(std::shared_ptr<const Regex> regex, Behavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  absl::Status Split(absl::string_view piece, const SplitContext&, Pieces* out) const override {
    std::vector<std::pair<size_t, size_t>> matches;
    EAQ_RETURN_IF_ERROR(regex_->FindAll(piece, &matches));
    CutByMatches(piece, matches, behavior_, invert_, out);
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<const Regex> regex_;
  const Behavior behavior_;
  const bool invert_;
};

class StringSplit : public PreTokenizer {
 public:
  StringSplit(std::string pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  absl::Status Split(absl::string_view piece, const SplitContext&, Pieces* out) const override {
    std::vector<std::pair<size_t, size_t>> matches;
    for (size_t at = piece.find(pattern_); at != absl::string_view::npos;
         at = piece.find(pattern_, at + pattern_.size())) {
      matches.emplace_back(at, at + pattern_.size());
    }
    CutByMatches(piece, matches, behavior_, invert_, out);
    return absl::OkStatus();
  }

 private:
  const std::string pattern_;
  const Behavior behavior_;
  const bool invert_;
};

class Digits : public PreTokenizer {
 public:
  explicit Digits(bool individual) : individual_(individual) {}
  absl::Status Split(absl::string_view piece, const SplitContext&, Pieces* out) const override {
    std::vector<std::pair<size_t, size_t>> matches;
    for (size_t i = 0; i < piece.size();) {
      uint32_t code = 0;
      const size_t length = std::max(1, DecodeUtf8(piece.substr(i), &code));
      if (ClassOf(code) == UnicodeClass::kNumber) matches.emplace_back(i, i + length);
      i += length;
    }
    CutByMatches(piece, matches, individual_ ? Behavior::kIsolated : Behavior::kContiguous, false, out);
    return absl::OkStatus();
  }

 private:
  const bool individual_;
};

enum class PrependScheme { kAlways, kFirst, kNever };

class Metaspace : public PreTokenizer {
 public:
  Metaspace(std::string replacement, PrependScheme scheme, bool split)
      : replacement_(std::move(replacement)), scheme_(scheme), split_(split) {}
  absl::Status Split(absl::string_view piece, const SplitContext& context, Pieces* out) const override {
    std::string text = absl::StrReplaceAll(piece, {{" ", replacement_}});
    const bool prepend = scheme_ == PrependScheme::kAlways || (scheme_ == PrependScheme::kFirst && context.at_start);
    if (prepend && !absl::StartsWith(text, replacement_)) text = replacement_ + text;
    context.arena->push_back(std::move(text));
    const absl::string_view whole = context.arena->back();
    if (!split_) {
      out->push_back(whole);
      return absl::OkStatus();
    }
    return StringSplit(replacement_, Behavior::kMergedWithNext, false).Split(whole, context, out);
  }

 private:
  const std::string replacement_;
  const PrependScheme scheme_;
  const bool split_;
};

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::shared_ptr<const PreTokenizer>> steps) : steps_(std::move(steps)) {}
  absl::Status Split(absl::string_view piece, const SplitContext& context, Pieces* out) const override {
    Pieces now = {piece}, next;
    for (const auto& step : steps_) {
      next.clear();
      SplitContext inner = context;
      for (absl::string_view part : now) {
        EAQ_RETURN_IF_ERROR(step->Split(part, inner, &next));
        inner.at_start = false;
      }
      now.swap(next);
    }
    out->insert(out->end(), now.begin(), now.end());
    return absl::OkStatus();
  }

 private:
  const std::vector<std::shared_ptr<const PreTokenizer>> steps_;
};

absl::StatusOr<ParsedPreTokenizer> ParseSplit(const Json& json) {
  constexpr char kWhere[] = "pre_tokenizer Split";
  EAQ_ASSIGN_OR_RETURN(const std::string name, StringField(json, "behavior", kWhere));
  EAQ_ASSIGN_OR_RETURN(const bool invert, BoolField(json, "invert", false, kWhere));
  Behavior behavior = Behavior::kIsolated;
  if (name == "Removed") {
    behavior = Behavior::kRemoved;
  } else if (name == "MergedWithPrevious") {
    behavior = Behavior::kMergedWithPrevious;
  } else if (name == "MergedWithNext") {
    behavior = Behavior::kMergedWithNext;
  } else if (name == "Contiguous") {
    behavior = Behavior::kContiguous;
  } else if (name != "Isolated") {
    return absl::InvalidArgumentError(absl::StrCat(kWhere, ": behavior \"", name,
                                                   "\"; expected Isolated, Removed, MergedWithPrevious, "
                                                   "MergedWithNext or Contiguous"));
  }
  EAQ_ASSIGN_OR_RETURN(const Json* pattern, ObjectField(json, "pattern", kWhere));
  if (!pattern->contains("Regex")) {
    EAQ_ASSIGN_OR_RETURN(std::string text, StringPattern(json, kWhere));
    return ParsedPreTokenizer{std::make_shared<StringSplit>(std::move(text), behavior, invert), false};
  }
  EAQ_ASSIGN_OR_RETURN(const std::string source, StringField(*pattern, "Regex", kWhere));
  absl::StatusOr<std::shared_ptr<const Regex>> regex = Regex::Compile(source);
  EAQ_RETURN_IF_ERROR(Annotate(regex.status(), kWhere));
  return ParsedPreTokenizer{std::make_shared<RegexSplit>(*regex, behavior, invert), false};
}

absl::StatusOr<ParsedPreTokenizer> ParseMetaspace(const Json& json) {
  constexpr char kWhere[] = "pre_tokenizer Metaspace";
  EAQ_ASSIGN_OR_RETURN(std::string replacement, StringField(json, "replacement", kWhere));
  if (replacement.empty()) return absl::InvalidArgumentError(absl::StrCat(kWhere, ": the replacement is empty"));
  EAQ_ASSIGN_OR_RETURN(const bool split, BoolField(json, "split", true, kWhere));
  EAQ_ASSIGN_OR_RETURN(std::string scheme, OptionalString(json, "prepend_scheme", kWhere));
  if (scheme.empty()) {  // older files: add_prefix_space
    EAQ_ASSIGN_OR_RETURN(const bool prefix, BoolField(json, "add_prefix_space", true, kWhere));
    scheme = prefix ? "always" : "never";
  }
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    return absl::InvalidArgumentError(
        absl::StrCat(kWhere, ": prepend_scheme \"", scheme, "\"; expected always, first or never"));
  }
  return ParsedPreTokenizer{std::make_shared<Metaspace>(std::move(replacement),
                                                        scheme == "always"  ? PrependScheme::kAlways
                                                        : scheme == "first" ? PrependScheme::kFirst
                                                                            : PrependScheme::kNever,
                                                        split),
                            false};
}

}  // namespace

absl::StatusOr<ParsedPreTokenizer> ParsePreTokenizer(const Json& json) {
  if (json.is_null()) return ParsedPreTokenizer{};
  EAQ_ASSIGN_OR_RETURN(const std::string type, StringField(json, "type", "pre_tokenizer"));
  if (type == "ByteLevel") {
    EAQ_ASSIGN_OR_RETURN(const bool prefix, BoolField(json, "add_prefix_space", true, "pre_tokenizer ByteLevel"));
    EAQ_ASSIGN_OR_RETURN(const bool regex, BoolField(json, "use_regex", true, "pre_tokenizer ByteLevel"));
    return ParsedPreTokenizer{std::make_shared<ByteLevel>(prefix, regex), true};
  }
  if (type == "Split") return ParseSplit(json);
  if (type == "Metaspace") return ParseMetaspace(json);
  if (type == "Digits") {
    EAQ_ASSIGN_OR_RETURN(const bool individual, BoolField(json, "individual_digits", false, "pre_tokenizer Digits"));
    return ParsedPreTokenizer{std::make_shared<Digits>(individual), false};
  }
  if (type == "Sequence") {
    EAQ_ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "pretokenizers", "pre_tokenizer Sequence"));
    std::vector<std::shared_ptr<const PreTokenizer>> steps;
    bool byte_level = false;
    for (const Json& item : *list) {
      if (byte_level) {
        return absl::UnimplementedError("pre_tokenizer Sequence: a step after ByteLevel is not supported");
      }
      EAQ_ASSIGN_OR_RETURN(ParsedPreTokenizer parsed, ParsePreTokenizer(item));
      if (parsed.step != nullptr) steps.push_back(std::move(parsed.step));
      byte_level = parsed.byte_level;
    }
    if (steps.empty()) return ParsedPreTokenizer{};
    return ParsedPreTokenizer{std::make_shared<Sequence>(std::move(steps)), byte_level};
  }
  return absl::UnimplementedError(absl::StrCat(
      "pre_tokenizer \"", type, "\" is not supported; supported: ByteLevel, Split, Digits, Metaspace, Sequence"));
}

}  // namespace eaq
