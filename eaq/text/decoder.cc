#include "eaq/text/decoder.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/byte_alphabet.h"
#include "eaq/text/json_fields.h"
#include "eaq/text/utf8.h"

namespace eaq {
namespace {

using Tokens = std::vector<std::string>;

class JoinWithBlanks : public Decoder {
 public:
  void Apply(Tokens* tokens) const override { *tokens = {absl::StrJoin(*tokens, " ")}; }
};

// Characters of the byte alphabet become bytes. A token with any other character (an added one) stays as it is.
class ByteLevel : public Decoder {
 public:
  void Apply(Tokens* tokens) const override {
    std::string bytes;
    for (std::string& token : *tokens) {
      if (CharactersToBytes(token, &bytes)) token = bytes;
    }
  }
};

class Replace : public Decoder {
 public:
  Replace(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  void Apply(Tokens* tokens) const override {
    for (std::string& token : *tokens) token = absl::StrReplaceAll(token, {{from_, to_}});
  }

 private:
  const std::string from_, to_;
};

// Runs of <0xXX> become their bytes if these are UTF-8, else one U+FFFD per byte.
class ByteFallback : public Decoder {
 public:
  void Apply(Tokens* tokens) const override {
    Tokens out;
    std::string run;
    const auto flush = [&] {
      if (run.empty()) return;
      if (ValidUtf8Prefix(run) == run.size()) {
        out.push_back(run);
      } else {
        for (size_t i = 0; i < run.size(); ++i) out.push_back("\xEF\xBF\xBD");
      }
      run.clear();
    };
    for (std::string& token : *tokens) {
      uint32_t byte = 0;
      if (token.size() == 6 && absl::StartsWith(token, "<0x") && token.back() == '>' &&
          absl::SimpleHexAtoi(absl::string_view(token).substr(3, 2), &byte)) {
        run += static_cast<char>(byte);
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    *tokens = std::move(out);
  }
};

class Fuse : public Decoder {
 public:
  void Apply(Tokens* tokens) const override { *tokens = {absl::StrJoin(*tokens, "")}; }
};

// Up to `start` characters at the front and `stop` at the end of every token, if they are `content`.
class Strip : public Decoder {
 public:
  Strip(std::string content, int64_t start, int64_t stop) : content_(std::move(content)), start_(start), stop_(stop) {}
  void Apply(Tokens* tokens) const override {
    for (std::string& token : *tokens) {
      absl::string_view text = token;
      for (int64_t i = 0; i < start_ && absl::ConsumePrefix(&text, content_); ++i) {
      }
      for (int64_t i = 0; i < stop_ && absl::ConsumeSuffix(&text, content_); ++i) {
      }
      token = std::string(text);
    }
  }

 private:
  const std::string content_;
  const int64_t start_, stop_;
};

class Metaspace : public Decoder {
 public:
  Metaspace(std::string replacement, bool drop_first) : replacement_(std::move(replacement)), drop_first_(drop_first) {}
  void Apply(Tokens* tokens) const override {
    for (size_t i = 0; i < tokens->size(); ++i) {
      (*tokens)[i] = absl::StrReplaceAll((*tokens)[i], {{replacement_, i == 0 && drop_first_ ? "" : " "}});
    }
  }

 private:
  const std::string replacement_;
  const bool drop_first_;
};

class Sequence : public Decoder {
 public:
  explicit Sequence(std::vector<std::shared_ptr<const Decoder>> steps) : steps_(std::move(steps)) {}
  void Apply(Tokens* tokens) const override {
    for (const auto& step : steps_) step->Apply(tokens);
  }

 private:
  const std::vector<std::shared_ptr<const Decoder>> steps_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Decoder>> ParseDecoder(const Json& json) {
  if (json.is_null()) return std::make_shared<JoinWithBlanks>();
  EAQ_ASSIGN_OR_RETURN(const std::string type, StringField(json, "type", "decoder"));
  if (type == "ByteLevel") return std::make_shared<ByteLevel>();
  if (type == "ByteFallback") return std::make_shared<ByteFallback>();
  if (type == "Fuse") return std::make_shared<Fuse>();
  if (type == "Replace") {
    EAQ_ASSIGN_OR_RETURN(std::string from, StringPattern(json, "decoder Replace"));
    EAQ_ASSIGN_OR_RETURN(std::string to, StringField(json, "content", "decoder Replace"));
    return std::make_shared<Replace>(std::move(from), std::move(to));
  }
  if (type == "Strip") {
    EAQ_ASSIGN_OR_RETURN(std::string content, StringField(json, "content", "decoder Strip"));
    EAQ_ASSIGN_OR_RETURN(const int64_t start, IntField(json, "start", "decoder Strip"));
    EAQ_ASSIGN_OR_RETURN(const int64_t stop, IntField(json, "stop", "decoder Strip"));
    if (content.empty() || start < 0 || stop < 0) {
      return absl::InvalidArgumentError("decoder Strip: expected a content, and start and stop of at least 0");
    }
    return std::make_shared<Strip>(std::move(content), start, stop);
  }
  if (type == "Metaspace") {
    EAQ_ASSIGN_OR_RETURN(std::string replacement, StringField(json, "replacement", "decoder Metaspace"));
    EAQ_ASSIGN_OR_RETURN(const std::string scheme, OptionalString(json, "prepend_scheme", "decoder Metaspace"));
    EAQ_ASSIGN_OR_RETURN(const bool prefix, BoolField(json, "add_prefix_space", true, "decoder Metaspace"));
    if (replacement.empty()) return absl::InvalidArgumentError("decoder Metaspace: the replacement is empty");
    return std::make_shared<Metaspace>(std::move(replacement), scheme.empty() ? prefix : scheme != "never");
  }
  if (type == "Sequence") {
    EAQ_ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "decoders", "decoder Sequence"));
    std::vector<std::shared_ptr<const Decoder>> steps;
    for (const Json& item : *list) {
      EAQ_ASSIGN_OR_RETURN(std::shared_ptr<const Decoder> step, ParseDecoder(item));
      steps.push_back(std::move(step));
    }
    return std::make_shared<Sequence>(std::move(steps));
  }
  return absl::UnimplementedError(absl::StrCat(
      "decoder \"", type,
      "\" is not supported; supported: ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence"));
}

}  // namespace eaq
