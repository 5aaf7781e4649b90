#include "eaq/text/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/json_fields.h"

namespace eaq {
namespace {

class Nfc : public Normalizer {
 public:
  std::string Apply(std::string text) const override {
    bool ascii = true;
    for (char c : text) ascii = ascii && static_cast<uint8_t>(c) < 128;
    if (ascii) return text;
    utf8proc_uint8_t* out = nullptr;
    const utf8proc_ssize_t n =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                     &out, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    if (n < 0) return text;  // not UTF-8: callers hand over valid text only
    std::string result(reinterpret_cast<const char*>(out), n);
    std::free(out);
    return result;
  }
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string front) : front_(std::move(front)) {}
  std::string Apply(std::string text) const override { return text.empty() ? text : front_ + text; }

 private:
  const std::string front_;
};

class Replace : public Normalizer {
 public:
  Replace(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  std::string Apply(std::string text) const override { return absl::StrReplaceAll(text, {{from_, to_}}); }

 private:
  const std::string from_, to_;
};

class Sequence : public Normalizer {
 public:
  explicit Sequence(std::vector<std::shared_ptr<const Normalizer>> steps) : steps_(std::move(steps)) {}
  std::string Apply(std::string text) const override {
    for (const auto& step : steps_) text = step->Apply(std::move(text));
    return text;
  }

 private:
  const std::vector<std::shared_ptr<const Normalizer>> steps_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Normalizer>> ParseNormalizer(const Json& json) {
  if (json.is_null()) return nullptr;
  EAQ_ASSIGN_OR_RETURN(const std::string type, StringField(json, "type", "normalizer"));
  if (type == "NFC") return std::make_shared<Nfc>();
  if (type == "Prepend") {
    EAQ_ASSIGN_OR_RETURN(std::string front, StringField(json, "prepend", "normalizer Prepend"));
    return std::make_shared<Prepend>(std::move(front));
  }
  if (type == "Replace") {
    EAQ_ASSIGN_OR_RETURN(std::string from, StringPattern(json, "normalizer Replace"));
    EAQ_ASSIGN_OR_RETURN(std::string to, StringField(json, "content", "normalizer Replace"));
    return std::make_shared<Replace>(std::move(from), std::move(to));
  }
  if (type == "Sequence") {
    EAQ_ASSIGN_OR_RETURN(const Json* list, ArrayField(json, "normalizers", "normalizer Sequence"));
    std::vector<std::shared_ptr<const Normalizer>> steps;
    for (const Json& item : *list) {
      EAQ_ASSIGN_OR_RETURN(std::shared_ptr<const Normalizer> step, ParseNormalizer(item));
      if (step != nullptr) steps.push_back(std::move(step));
    }
    if (steps.empty()) return nullptr;
    return std::make_shared<Sequence>(std::move(steps));
  }
  return absl::UnimplementedError(
      absl::StrCat("normalizer \"", type, "\" is not supported; supported: NFC, Prepend, Replace, Sequence"));
}

}  // namespace eaq
